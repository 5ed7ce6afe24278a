"""How much of a suite a store has, what is missing, and what was trained under other rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from normbench.leaderboard.notes import seed_list
from normbench.leaderboard.sheets import Sheet
from normbench.quantities import counted
from normbench.reproduction.asked import Asked
from normbench.reproduction.document import Chapter, chapter
from normbench.reproduction.planned import FAILED, Changed, Planned, PlannedRow
from normbench.store import RunState

_LISTED = 20
_STATES: Mapping[str, tuple[RunState | None, ...]] = {
    "diverged": (RunState.DIVERGED,),
    "failed": FAILED,
    "cancelled": (RunState.CANCELLED,),
    "missing": (None,),
}


def standing_chapter(found: Planned, changed: Sequence[Changed], asked: Asked) -> Chapter:
    """Return the chapter on how complete the suite is, with the command that trains the rest."""
    lacking = [each for each in found.rows if not each.complete]
    lines = {
        "What is missing": list(_missing(found, asked)),
        "Trained under other rules or settings": list(_about_changed(changed, asked)),
        "Beyond the suite": list(_beyond(found)),
    }
    commands = [asked.train()] if lacking else []
    title = "How complete it is"
    return chapter(title, (_by_problem(found),), lines, commands=commands)


def how_complete(found: Planned) -> str:
    """Return the sentence on how many of the cells and runs have results."""
    cells, complete = len(found.rows), sum(each.complete for each in found.rows)
    runs, done = sum(len(e.seeds) for e in found.rows), sum(len(e.done) for e in found.rows)
    if complete == cells:
        return f"Complete: all {cells} cells, {runs} runs, have results."
    if not done:
        return f"Nothing of it has a result: 0 of {cells} cells, 0 of {runs} runs."
    begun = sum(bool(each.done) and not each.complete for each in found.rows)
    partly = f" and {begun} in part" if begun else ""
    return (
        f"Incomplete: of {cells} cells {complete} are complete{partly}; {done} of {runs} runs have "
        "results."
    )


def _by_problem(found: Planned) -> Sheet:
    groups: dict[tuple[str, str], list[PlannedRow]] = {}
    for each in found.rows:
        groups.setdefault((each.spec.problem.name, each.spec.protocol.name), []).append(each)
    rows = tuple(
        (
            *names,
            f"{sum(each.complete for each in rows)}/{len(rows)}",
            f"{sum(len(each.done) for each in rows)}/{sum(len(each.seeds) for each in rows)}",
            *(_counted(rows, states) for states in _STATES.values()),
        )
        for names, rows in groups.items()
    )
    heads = ("problem", "protocol", "cells", "runs", *_STATES)
    return Sheet(heads, rows, heads[2:], "Cells and runs that have results")


def _counted(rows: Sequence[PlannedRow], states: tuple[RunState | None, ...]) -> str:
    return str(sum(each.count(states) for each in rows) or "")


def _missing(found: Planned, asked: Asked) -> Iterator[str]:
    """Yield what lacks results: whole problems, then cells."""
    groups: dict[str, list[PlannedRow]] = {}
    for each in found.rows:
        groups.setdefault(each.spec.problem.name, []).append(each)
    listed = 0
    for problem, rows in groups.items():
        lacking = [each for each in rows if not each.complete]
        if not any(each.done or each.count(FAILED) for each in rows):
            alone = f". Train them: {asked.train(problem)}" if len(groups) > 1 else ""
            yield f"{problem}: all {len(rows)} cells{alone}"
            continue
        for each in lacking[: max(0, _LISTED - listed)]:
            yield _of_cell(each)
        listed += len(lacking)
    if listed > _LISTED:
        yield f"and {listed - _LISTED} cells more: {asked.status()}"


def _of_cell(each: PlannedRow) -> str:
    seeds = [seed for seed in each.seeds if seed not in each.done]
    failed = each.count(FAILED)
    told = f"; {failed} of them failed" if failed else ""
    return f"{each.label}: seed{'s' * (len(seeds) > 1)} {seed_list(seeds)}{told}"


def _about_changed(changed: Sequence[Changed], asked: Asked) -> Iterator[str]:
    for each in changed:
        rows = f"{counted(each.rows, 'row')} of these cells, {counted(each.results, 'result')}"
        told = [f"with {' '.join(each.words)}"] if each.words else []
        told += [f"without {' '.join(each.without)}"] if each.without else []
        how = " and ".join(told) or "at other settings"
        sentence = f"{rows}, {how}: they are other rows and are not shown here."
        again = asked.report(each.words, without=each.without)
        yield f"{sentence} Their report: {again}" if told and again else sentence


def _beyond(found: Planned) -> Iterator[str]:
    more = [each for each in found.rows if each.more]
    if more:
        seeds = sum(len(each.more) for each in more)
        yield (
            f"{seeds} results at seeds that were not asked for, of {len(more)} cells, are in the "
            "store and count in every table here."
        )
