"""What a reader of an ablation table must know: what was chosen for it, and what is not in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normbench.leaderboard.factors import FactorTable, Scores
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.references import Reference
from normbench.quantities import counted

EXPLORATORY = "Its p are exploratory."
INCOMPLETE = f"Seeds may be missing for what they would have shown. {EXPLORATORY}"
INCOMPLETE_TRUSTED = (
    "That seeds are missing for no reason that has to do with what they would have shown is on "
    "trust."
)
_CHOSEN = "chosen when this table was asked for, perhaps after looking."


def about_choices(
    members: Sequence[ReadRow],
    chosen: Sequence[ReadRow],
    reference: Reference,
    factor: str,
    wanted: Wanted,
    base: str | None,
) -> Iterator[str]:
    """Yield what may have been chosen after looking: the base, or which cells are averaged.

    Args:
        members: All comparable rows.
        chosen: Those that the table is made of.
        reference: The declared one, whose level of the factor is the base.
        factor: ``norm`` or ``optimizer``.
        wanted: Filters.
        base: The base that was asked for.
    """
    if base:
        yield f"The base was {_CHOSEN} {EXPLORATORY}"
    elif reference.first is not None and _differ(reference, reference.first, factor):
        yield (
            "Before, by another name of this problem, the reference was "
            f"{reference.first.why}. {EXPLORATORY}"
        )
    if not wanted.terms.confirmatory:
        yield f"--correction or --alpha was {_CHOSEN} {EXPLORATORY}"
    there = {row.row for row in chosen}
    left = [row for row in members if row.scores and row.row not in there]
    filters = {"norms": wanted.norms, "optimizers": wanted.optimizers, "settings": wanted.settings}
    filters |= {"files": ["current"] * wanted.current}
    names = " and ".join(name for name, values in filters.items() if values)
    if left and names:
        rows = counted(len(left), "comparable row")
        yield f"Not taken in: {rows}, since the {names} were {_CHOSEN} {EXPLORATORY}"
    dated = [row for row in members if row.dated]
    if dated:
        gone = sum(not row.scores for row in dated)
        counts = {"all of": gone, "some of": len(dated) - gone}
        told = ", ".join(f"{of} {counted(n, 'comparable row')}" for of, n in counts.items() if n)
        yield (
            f"Results older than --since are left out: {told}. The date was {_CHOSEN} {EXPLORATORY}"
        )


def _differ(one: Reference, other: Reference, factor: str) -> bool:
    """Whether two references have different levels of the factor."""
    levels = [
        (found.row.norm_label if factor == "norm" else found.row.optimizer) if found.row else ""
        for found in (one, other)
    ]
    return levels[0] != levels[1]


def not_compared(table: FactorTable, scores: Scores, base: str) -> Iterator[str]:
    """Yield which cells share no seed with the base, or none that counts."""
    unpaired = [
        f"{level} with {other}"
        for level, other in scores
        if level != base
        and scores[level, other]
        and scores.get((base, other))
        and not scores[level, other].keys() & scores[base, other].keys()
    ]
    if unpaired:
        yield (
            f"Not compared with {base}, since they share no seed with it: {', '.join(unpaired)}. "
            "Train the same seeds."
        )
    compared = {(effect.level, effect.within) for effect in table.simple}
    lost = [
        f"{level} with {other}"
        for level, other in scores
        if level != base
        and (level, other) not in compared
        and scores[level, other].keys() & scores.get((base, other), {}).keys()
    ]
    if lost:
        yield (
            f"Not compared with {base}, since no seed that both have counts at their declared "
            f"looks: {', '.join(lost)}."
        )
    averaged = {effect.level for effect in table.main}
    apart = dict.fromkeys(e.level for e in table.simple if e.level not in averaged)
    if apart:
        names = ", ".join(apart)
        yield f"Without a main effect, since their cells share no seed that counts: {names}."
