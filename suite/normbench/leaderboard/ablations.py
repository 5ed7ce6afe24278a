"""Norms within and over optimizers, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from normbench.descriptions import Metric
from normbench.errors import UsageError, unknown_name
from normbench.leaderboard.ablation_notes import (
    EXPLORATORY,
    INCOMPLETE,
    INCOMPLETE_TRUSTED,
    about_choices,
    not_compared,
)
from normbench.leaderboard.choosing import no_setting, one_setting, row_label
from normbench.leaderboard.factors import FactorTable, factor_table
from normbench.leaderboard.families import correction
from normbench.leaderboard.grouping import (
    Wanted,
    comparable_rows,
    narrowed,
    references_of,
    tables_of,
)
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.naming import row_names
from normbench.leaderboard.notes import about_damage, about_unplaced, other_metric, seed_list
from normbench.leaderboard.precision_notes import about_precision
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.reference_notes import notes_about_pairs
from normbench.leaderboard.references import Reference
from normbench.leaderboard.settings_shown import as_recorded, unequal_tuning, which_setting
from normbench.leaderboard.values import metric_named, values_of
from normbench.plugins import Catalogue

NORM, OPTIMIZER = "norm", "optimizer"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A factor of one problem against its base level.

    Attributes:
        title: Problem and protocol.
        factor: ``norm`` or ``optimizer``.
        base: The level that the others are compared with.
        metric: What rows are judged by.
        table: All effects, positive is better.
        diverged: Seeds that diverged, by (level, other).
        left_out: What could not be taken in, in sentences.
        rows: The rows it is made of.
        beside: The rows with results that others of their cells stand for.
        head: What a reader must know before the numbers, in sentences.
    """

    title: str
    factor: str
    base: str
    metric: Metric
    table: FactorTable
    diverged: Mapping[tuple[str, str], int]
    left_out: tuple[str, ...]
    rows: tuple[ReadRow, ...] = ()
    beside: tuple[ReadRow, ...] = ()
    head: tuple[str, ...] = ()

    @property
    def sign(self) -> int:
        """1 where larger is better, -1 where smaller is."""
        return 1 if self.metric.direction == "max" else -1

    @property
    def other(self) -> str:
        """The factor that levels are compared within."""
        return other_factor(self.factor)


def other_factor(factor: str) -> str:
    """Return ``optimizer`` for ``norm``, and the other way round."""
    return OPTIMIZER if factor == NORM else NORM


def make_ablations(
    reader: Reader,
    catalogue: Catalogue,
    wanted: Wanted,
    factor: str,
    base: str | None,
    rows: Sequence[ReadRow] | None = None,
) -> list[Ablation]:
    """Return one table for each problem and set of rules.

    Args:
        reader: Where the rows are.
        catalogue: Knows the problems' default norms.
        wanted: Filters, metric and terms.
        factor: ``norm`` or ``optimizer``.
        base: Level to compare with; None for the declared reference's. Filters leave it in.
        rows: The comparable rows, where they were read already.

    Raises:
        UsageError: If there is no such level in any table.
    """
    rows = comparable_rows(reader, catalogue, wanted) if rows is None else rows
    kept = {row.row for row in narrowed(rows, catalogue, wanted)}
    others = {row.row for row in narrowed(rows, catalogue, _whatever(factor, wanted))}
    tables = {
        title: members
        for title, members in tables_of(rows).items()
        if any(row.row in kept for row in members)
    }
    references = references_of(tables, catalogue, wanted)
    found: list[Ablation] = []
    without: list[_NoBaseError] = []
    for title, members in tables.items():
        try:
            level = base or _declared_level(title, references[title], factor)
            of_base = {r.row for r in members if r.row in others and _level(r, factor) == level}
            chosen = [row for row in members if row.row in kept | of_base]
            choices = about_choices(members, chosen, references[title], factor, wanted, base)
            own = _ablation(title, chosen, factor, level, reader, wanted, choices)
        except _NoBaseError as error:
            without.append(error)
        else:
            found.append(own)
    if not found:
        raise without[0]
    told = tuple(f"Not shown: {error}" for error in without)
    return [replace(found[0], left_out=(*found[0].left_out, *told)), *found[1:]]


class _NoBaseError(UsageError):
    """A table has nothing that its levels could be compared with."""


def _whatever(factor: str, wanted: Wanted) -> Wanted:
    """Return what is *wanted*, with all levels of the *factor*."""
    return replace(wanted, norms=()) if factor == NORM else replace(wanted, optimizers=())


def _declared_level(title: str, reference: Reference, factor: str) -> str:
    if reference.row is None:
        raise _NoBaseError(
            f"{title}: {reference.why}. Without that, no {factor} is the base; name another one "
            "with --base, or compare rows: normbench compare A B"
        )
    return _level(reference.row, factor)


def _ablation(
    title: str,
    rows: Sequence[ReadRow],
    factor: str,
    base: str,
    reader: Reader,
    wanted: Wanted,
    choices: Iterable[str],
) -> Ablation:
    cells, left_out = _cells(rows, factor, allow_incomplete=wanted.terms.allow_incomplete)
    levels = list(dict.fromkeys(level for level, _ in cells))
    if base not in levels:
        raise _no_base(title, rows, factor, base, levels)
    metric = metric_named(wanted.metric, rows[0].metric)
    sign = 1.0 if metric.direction == "max" else -1.0
    values = values_of(list(cells.values()), metric, reader)
    scores = {
        cell: {seed: sign * value for seed, value in found.items()}
        for cell, found in zip(cells, values, strict=True)
    }
    table = factor_table(
        scores,
        base,
        [level for level in levels if level != base],
        list(dict.fromkeys(other for _, other in cells)),
        correction(wanted.terms.correction),
        {cell: Looks.of(row) for cell, row in cells.items()},
    )
    shown = {row.row for row in cells.values()}
    not_verified, verified = about_precision(rows, reader)
    return Ablation(
        title=title,
        factor=factor,
        base=base,
        metric=metric,
        table=table,
        diverged={cell: len(row.diverged) for cell, row in cells.items() if row.diverged},
        left_out=(
            *choices,
            *([] if metric == rows[0].metric else [f"{other_metric(metric.name)} {EXPLORATORY}"]),
            *which_setting(rows),
            *as_recorded(rows),
            *verified,
            *about_damage(rows, row_label, reader.option),
            *about_unplaced(reader.unplaced(), reader.option),
            *left_out,
            *not_compared(table, scores, base),
            *notes_about_pairs(
                ((cells[e.level, e.within], cells[base, e.within], e.n) for e in table.simple),
                row_names(list(cells.values())),
            ),
        ),
        rows=tuple(cells.values()),
        beside=tuple(row for row in rows if row.scores and row.row not in shown),
        head=(*not_verified, *unequal_tuning(list(cells.values()), wanted.settings)),
    )


def _no_base(
    title: str, rows: Sequence[ReadRow], factor: str, base: str, levels: Sequence[str]
) -> _NoBaseError:
    """Return the error for a base that no row stands for."""
    other = other_factor(factor)
    cells: dict[str, list[ReadRow]] = {}
    for row in rows:
        if _level(row, factor) == base and row.scores:
            cells.setdefault(_level(row, other), []).append(row)
    if not cells:
        return _NoBaseError(str(unknown_name(f"{factor} of {title}", base, levels)))
    within, cell = next(iter(cells.items()))
    more = f", and none stands for it with any other {other} either" if len(cells) > 1 else ""
    others = ", ".join(levels) or "none here"
    return _NoBaseError(
        f"{title}: {factor} {base} cannot be the base: with {within} it has {no_setting(cell)}"
        f"{more}. Other bases: {others}."
    )


def _cells(
    rows: Sequence[ReadRow], factor: str, *, allow_incomplete: bool
) -> tuple[dict[tuple[str, str], ReadRow], list[str]]:
    """Return one row for each (level, level of the other factor), and what was left out."""
    other = other_factor(factor)
    together: dict[tuple[str, str], list[ReadRow]] = {}
    for row in sorted(rows, key=lambda row: (row.norm_label, row.optimizer)):
        if row.scores:
            together.setdefault((_level(row, factor), _level(row, other)), []).append(row)
    chosen = {cell: one_setting(members) for cell, members in together.items()}
    left_out = [
        f"{level} with {within} is left out: it has {no_setting(together[level, within])}."
        for (level, within), row in chosen.items()
        if row is None
    ]
    missing = [
        f"{level} with {within} lacks results of seeds {seed_list(row.missing)}."
        for (level, within), row in chosen.items()
        if row is not None and row.missing
    ]
    if missing:
        missing.append(INCOMPLETE_TRUSTED if allow_incomplete else INCOMPLETE)
    return {cell: row for cell, row in chosen.items() if row is not None}, left_out + missing


def _level(row: ReadRow, factor: str) -> str:
    return row.norm_label if factor == NORM else row.optimizer
