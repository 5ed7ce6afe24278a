"""What a row is called in a table, its notes and its figures: always the same, told from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from normbench.origins import UNTUNED
from normbench.parameters import typed

if TYPE_CHECKING:
    from normbench.leaderboard.reading import ReadRow

_DEFAULT = "default"
_DIGITS = 4


def setting_words(rows: Sequence[ReadRow]) -> Callable[[ReadRow], list[str]]:
    """Return a function that gives the words that tell a row from others alike.

    Those are the hyper-parameters where a norm and an optimizer have several rows, and ``untuned``
    where others of the table are tuned.
    """
    seen = Counter((row.norm_label, row.optimizer) for row in rows)
    marked = len({is_untuned(row) for row in rows}) > 1

    def words(row: ReadRow) -> list[str]:
        several = seen[row.norm_label, row.optimizer] > 1
        found = values_text(row) if several else []
        if is_untuned(row) and (marked or (several and not found)):
            return [*found, UNTUNED]
        return found or ([setting_text(row)] if several else [])

    alike = Counter((row.norm_label, row.optimizer, *words(row)) for row in rows)

    def told(row: ReadRow) -> list[str]:
        found = words(row)
        same = alike[row.norm_label, row.optimizer, *found] > 1
        return [*found, f"({row_digits(row)})"] if same else found

    return told


def row_names(rows: Sequence[ReadRow], between: str = " ") -> Callable[[ReadRow], str]:
    """Return a function that gives norm, optimizer and setting of a row as the table has them.

    Args:
        rows: All rows of the table.
        between: What stands between norm and optimizer.
    """
    words = setting_words(rows)
    return lambda row: f"{row.norm_label}{between}{' '.join([row.optimizer, *words(row)])}"


def values_text(row: ReadRow) -> list[str]:
    """Return the hyper-parameters that differ from their defaults, as they are typed."""
    return [f"{name}={typed(value)}" for name, value in row.setting.items()]


def setting_text(row: ReadRow) -> str:
    """Return the hyper-parameters that differ from their defaults, and where they come from."""
    origin = UNTUNED if is_untuned(row) else f"({row.setting_origin})"
    return " ".join([*values_text(row), origin])


def row_digits(row: ReadRow) -> str:
    """Return the digits that tell a row from others where its name does not."""
    return row.row[:_DIGITS]


def is_untuned(row: ReadRow) -> bool:
    """Whether a row has its optimizer's defaults."""
    return row.setting_origin == _DEFAULT
