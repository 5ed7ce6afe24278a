"""Which views to write: people who changed or deleted one of ours keep what they made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from normbench.tracking.views.form import View, fingerprint

WRITTEN_TAG = "normbench.views.written"


def kept_views(present: Mapping[str, str], wanted: Iterable[View]) -> Iterator[tuple[str, str]]:
    """Yield the experiment tags that bring our views up to date.

    Args:
        present: The experiment's tags.
        wanted: The views as they should be.
    """
    written: dict[str, str] = json.loads(present.get(WRITTEN_TAG, "{}"))
    now = dict(written)
    for view in wanted:
        key, value = view.tag()
        ours = fingerprint(value)
        if ours != written.get(view.key) and _untouched(present.get(key), written.get(view.key)):
            yield key, value
            now[view.key] = ours
    if now != written:
        yield WRITTEN_TAG, json.dumps(now, sort_keys=True)


def _untouched(held: str | None, written: str | None) -> bool:
    """Whether people left the view as we wrote it: there, or not there."""
    return (held is None) if written is None else held is not None and fingerprint(held) == written
