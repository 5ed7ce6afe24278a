"""The words for where a row's hyper-parameters come from, as people and programs read them."""

from __future__ import annotations

UNTUNED = "untuned"
_DEFAULT = "default"


def in_words(origin: str) -> str:
    """Return what tables, files and errors call the *origin* that a spec records."""
    return UNTUNED if origin == _DEFAULT else origin
