"""The digests of one-off plugin files that specs hold: in which specs, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# The key of the digests; specs of installed plugins lack it.
_MARK = '"files"'


def mentions_files(text: str | bytes) -> bool:
    """Whether the *text* of a spec may hold digests of files: to read all specs takes long."""
    return _MARK in text if isinstance(text, str) else _MARK.encode() in text


def differing_kinds(files: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the kinds of components that are not of one file in all specs, sorted.

    Args:
        files: The digests of each spec, by kind.
    """
    kinds = sorted({kind for each in files for kind in each})
    return [kind for kind in kinds if len({each.get(kind) for each in files}) > 1]
