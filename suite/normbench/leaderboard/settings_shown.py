"""Which settings the rows of a table have: how they were found, and which stands for its cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from normbench.leaderboard.choosing import one_setting
from normbench.leaderboard.naming import row_digits, setting_text
from normbench.leaderboard.reading import ReadRow
from normbench.origins import UNTUNED, in_words
from normbench.quantities import counted
from normbench.settings_now import kind_of

_SHOWN = 3
_IN_WORDS = {
    "default": UNTUNED,
    "known": "tuned",
    "given": "given by hand",
    "other": "at another cell's setting",
    "superseded": "tuned and superseded",
}


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A norm and an optimizer that have rows at several settings.

    Attributes:
        norm: Norm with what was changed of it.
        optimizer: Optimizer.
        shown: The row that stands for them; None if none does.
        others: The other rows.
    """

    norm: str
    optimizer: str
    shown: ReadRow | None
    others: tuple[ReadRow, ...]

    @property
    def words(self) -> str:
        """Which setting is shown and which are not."""
        rest = ", ".join(map(_text, self.others))
        name = f"{self.norm} {self.optimizer}"
        if self.shown is None:
            return f"{name}: none of {rest}"
        return f"{name}: {_text(self.shown)}, not {rest}"


def _text(row: ReadRow) -> str:
    earlier = f" of a plugin file as it was before ({row_digits(row)})" if row.edited else ""
    return f"{setting_text(row)}{earlier}"


def shared_cells(rows: Sequence[ReadRow]) -> list[Shared]:
    """Return the norms and optimizers that several of *rows* with results have, in their order."""
    cells: dict[tuple[str, str], list[ReadRow]] = {}
    for row in rows:
        if row.scores:
            cells.setdefault((row.norm_label, row.optimizer), []).append(row)
    found = []
    for (norm, optimizer), members in cells.items():
        if len(members) > 1:
            shown = one_setting(members)
            others = tuple(row for row in members if row is not shown)
            found.append(Shared(norm=norm, optimizer=optimizer, shown=shown, others=others))
    return found


def which_setting(rows: Sequence[ReadRow], most: int = 8) -> Iterator[str]:
    """Yield which setting stands for each cell that has several, and how to choose another."""
    shared = shared_cells(rows)
    if shared:
        told = "; ".join(each.words for each in shared[:most])
        more = f"; and {len(shared) - most} more" if len(shared) > most else ""
        yield (
            f"Of several settings one stands for its cell, by where it comes from, never by its "
            f"scores: {told}{more}. {_advice(shared)}"
        )


def _advice(shared: Sequence[Shared]) -> str:
    """Return how another setting is looked at; by its kind only where that tells it from others."""
    for each in shared:
        kinds = Counter(_word(row) for row in each.others)
        if each.shown is not None:
            kinds[_word(each.shown)] += 2
        for word, count in kinds.items():
            if count == 1:
                return (
                    f"Choose with --setting, such as --setting {word}, which takes rows of that "
                    "kind alone in every cell."
                )
    return "No --setting tells them apart: normbench compare takes rows by their fingerprints."


def _word(row: ReadRow) -> str:
    return in_words(kind_of(row.setting_origin))


def unequal_tuning(rows: Sequence[ReadRow], asked: Sequence[str] = ()) -> Iterator[str]:
    """Yield that *rows* with results differ in how their settings were found, if they do.

    Args:
        rows: The rows.
        asked: The kinds that ``--setting`` asked for, which is not advised again.
    """
    kinds: dict[str, list[ReadRow]] = {}
    for row in rows:
        if row.scores:
            kinds.setdefault(kind_of(row.setting_origin), []).append(row)
    if len(kinds) < 2:
        return
    told = ", ".join(_counted(kind, members) for kind, members in sorted(kinds.items(), key=_few))
    words = " or ".join(f"--setting {_word(members[0])}" for members in kinds.values())
    advice = "" if asked else f" To compare within one kind: {words}."
    yield (
        f"Rows differ in how their settings were found: {told}. Where one was tuned more than the "
        f"other, a difference may be due to that.{advice}"
    )


def _few(item: tuple[str, Sequence[ReadRow]]) -> int:
    return len(item[1])


def _counted(kind: str, rows: Sequence[ReadRow]) -> str:
    return f"{counted(len(rows), 'row')} {_IN_WORDS.get(kind, kind)}"


def as_recorded(rows: Sequence[ReadRow]) -> Iterator[str]:
    """Yield of which *rows* it is told as recorded where their settings come from, and why."""
    found = [row for row in rows if row.recorded is not None]
    files = dict.fromkeys(str(row.recorded.file) for row in rows if row.recorded is not None)
    if found:
        names = ", ".join(f"{row.norm_label} {row.optimizer}" for row in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield (
            f"Where the setting of {names}{more} comes from is told as it was recorded, since what "
            f"is known now cannot be read: {', '.join(files)}"
        )
