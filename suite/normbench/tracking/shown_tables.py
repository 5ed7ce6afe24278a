"""The tables that first gave a row verdicts, carried by a tag of the row in MLflow.

Several stores may feed one row, and each may have shown it: the tag holds the tables of all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from normbench.store import Shown
from normbench.tracking.long_tags import gathered, spread

_TAG = "mlflow.normbench.shown"


def shown_tags(shown: Iterable[Shown], held: Mapping[str, str]) -> dict[str, str]:
    """Return the tag by which a row that carries *held* tells of these tables, too.

    Empty if it does so already.
    """
    try:
        theirs = set(shown_in(held))
    except ValueError:
        theirs = set()
    together = theirs.union(shown)
    if together == theirs:
        return {}
    return spread(_TAG, json.dumps(sorted(together), separators=(",", ":")))


def shown_in(tags: Mapping[str, str]) -> list[Shown]:
    """Return the tables that a row was shown in, the oldest first.

    Raises:
        ValueError: If the tag is damaged.
    """
    text = gathered(tags, _TAG)
    try:
        return [Shown(*each) for each in json.loads(text)] if text else []
    except TypeError as error:
        raise ValueError(f"the tables that showed a row are damaged ({error})") from error
