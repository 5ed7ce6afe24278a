"""The suite's table as a paper prints it: methods down, problems across, theirs in brackets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normbench.comparable import comparable, titles
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.sheets import Numbers, Sheet
from normbench.parameters import typed
from normbench.reproduction.beside import Line
from normbench.reproduction.document import Chapter, chapter
from normbench.reproduction.planned import Planned, PlannedRow
from normbench.specs import RunSpec

_MOST_COLUMNS = 8
Method = tuple[str, str]


def grid_chapter(found: Planned, boards: Sequence[Board], lines: Sequence[Line]) -> Chapter:
    """Return the chapter with our means in the shape of a paper's table."""
    entries = {entry.row.row: entry for board in boards for entry in board.entries}
    theirs = {line.match.spec.row: line.match.published.mean for line in lines}
    columns = _columns(found.rows)
    names = list(columns)
    parts = [names[i : i + _MOST_COLUMNS] for i in range(0, len(names), _MOST_COLUMNS)]
    sheets = [_sheet({name: columns[name] for name in part}, entries, theirs) for part in parts]
    told = [f"All with {' '.join(_shared(found.rows))}."] if _shared(found.rows) else []
    told += ["Mean over seeds ± half the width of its 95 % t interval."]
    if theirs:
        told.append("In brackets: the published mean.")
    if any(entry.row.missing for entry in entries.values()):
        told.append("†: seeds are missing.")
    if any(entry.row.diverged for entry in entries.values()):
        told.append("×: so many seeds diverged and count with the worst score.")
    return chapter("The table", sheets, {"Cells": [" ".join(told)]})


def _columns(rows: Sequence[PlannedRow]) -> dict[str, list[RunSpec]]:
    """Return the specs by what their tables are about, in the suite's order."""
    groups: dict[str, list[RunSpec]] = {}
    for each in rows:
        groups.setdefault(comparable(each.spec.identity), []).append(each.spec)
    words = {
        key: (specs[0].problem.name, specs[0].protocol.name, *specs[0].deviations)
        for key, specs in groups.items()
    }
    named = titles(words)
    # A column is told by its problem, even where there is but one.
    known = {rows[0].spec.problem.name} if len(groups) == 1 else set()
    shared = set.intersection(*(set(title.split()) for title in named.values())) - known
    return {_short(named[key], shared): specs for key, specs in groups.items()}


def _shared(rows: Sequence[PlannedRow]) -> list[str]:
    """Return the words that changed the rules of all rows."""
    first = rows[0].spec.deviations
    return [word for word in first if all(word in each.spec.deviations for each in rows)]


def _short(title: str, shared: set[str]) -> str:
    """Return a title without the words that all have."""
    words = [_bare(word) for word in title.split() if word not in shared]
    return " ".join(words) or "unchanged"


def _bare(word: str) -> str:
    """Return a word without its section, which a paper's table does not have."""
    name, sign, value = word.partition("=")
    return f"{name.rpartition('.')[2]}={value}" if sign else word


def _sheet(
    columns: Mapping[str, Sequence[RunSpec]],
    entries: Mapping[str, Entry],
    theirs: Mapping[str, float],
) -> Sheet:
    cells: dict[Method, dict[str, str]] = {}
    for name, specs in columns.items():
        for spec, method in zip(specs, _methods(specs), strict=True):
            cells.setdefault(method, {})[name] = _cell(spec, entries.get(spec.row), theirs)
    rows = tuple(
        (*method, *(own.get(name, "") for name in columns)) for method, own in cells.items()
    )
    metrics = {spec.problem.metric.name: None for specs in columns.values() for spec in specs}
    units = [f"{name}{Numbers(name).unit}" for name in metrics]
    heads = ("norm", "optimizer", *columns)
    return Sheet(heads, rows, tuple(columns), f"{', '.join(units)}")


def _methods(specs: Sequence[RunSpec]) -> list[Method]:
    """Return norm and optimizer of each spec, with the setting where they do not tell it apart."""
    plain = [(spec.norm_label, spec.optimizer.name) for spec in specs]
    return [
        method if plain.count(method) == 1 else (method[0], f"{method[1]} {_setting(spec)}".strip())
        for method, spec in zip(plain, specs, strict=True)
    ]


def _setting(spec: RunSpec) -> str:
    values = spec.identity["optimizer"]["parameters"]
    return " ".join(f"{name}={typed(value)}" for name, value in values.items())


def _cell(spec: RunSpec, entry: Entry | None, theirs: Mapping[str, float]) -> str:
    numbers = Numbers(spec.problem.metric.name)
    published = f"({numbers.value(theirs[spec.row])})" if spec.row in theirs else ""
    if entry is None or entry.mean is None:
        return f"– {published}".strip()
    shown = numbers.value(entry.mean)
    if entry.interval is not None and not entry.row.diverged:
        shown += f" ± {numbers.value((entry.interval[1] - entry.interval[0]) / 2)}"
    marks = "†" if entry.row.missing else ""
    marks += f" {len(entry.row.diverged)}×" if entry.row.diverged else ""
    return " ".join(filter(None, [shown + marks, published]))
