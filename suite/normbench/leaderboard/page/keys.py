"""What cells of text are sorted by: the number they begin with, where a column has numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_BEGINNING = re.compile(rf"<?({_NUMBER})(?: |/|-|$)")
_DURATION = re.compile(r"(?:(\d+) h )?(?:(\d+) min)?(?: (\d+) s)?")
_MISSED = "missed"


def sort_keys(cells: Sequence[str]) -> list[str] | None:
    """Return the number that each cell of a column is sorted by, empty for an empty cell.

    None for a column of text.
    """
    keys = [_key(cell) for cell in cells]
    if not any(cells) or any(cell and not key for cell, key in zip(cells, keys, strict=True)):
        return None
    return keys


def _key(cell: str) -> str:
    if cell.startswith(_MISSED):
        return "Infinity"
    duration = _DURATION.fullmatch(cell)
    if duration and cell:
        hours, minutes, seconds = (int(part or 0) for part in duration.groups())
        return str(3600 * hours + 60 * minutes + seconds)
    found = _BEGINNING.match(cell)
    if found is None:
        return ""
    # What is below a bound sorts before the bound itself.
    return f"{float(found[1]) * (0.5 if cell.startswith('<') else 1.0):.12g}"
