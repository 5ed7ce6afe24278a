"""How a plan is printed: a table of cells, then what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from normbench.cli.output import print_table, print_text, size
from normbench.live import FAILED
from normbench.quantities import counted
from normbench.report import Row
from normbench.tables import duration, optimizer_cell, states_in_words

if TYPE_CHECKING:
    from normbench.forecast.cells import Cell
    from normbench.forecast.detection import Detection
    from normbench.forecast.plan import Forecast

_NAMES = ("problem", "norm", "optimizer", "protocol")
_STATES = ("done", "running", "cancelled")
_BADLY = "without result"
_COLUMNS = ("runs", *_STATES, _BADLY, "s/step", "memory", "time/run", "left", "from")
_NUMBERS = _COLUMNS[:-1]
_NO_STARTS = "the start of the workers, some seconds, is not in it"
_TEST = (
    "A difference of that size, if it is there, is called `better` or `worse` with probability 0.8 "
    "(one-sided paired t-test, at 5 % for the whole table, corrected as for its first row by "
    "Holm). With fewer than 5 seeds a leaderboard calls a row `exploratory` at most."
)


def print_forecast(forecast: Forecast) -> None:
    """Print *forecast* for people."""
    if forecast.title:
        click.echo(forecast.title)
    resolved = [cell for cell in forecast.cells if cell.spec is not None]
    print_cells(resolved, _COLUMNS, [_numbers(cell) for cell in resolved], right=_NUMBERS)
    click.echo()
    for line in (*_totals(forecast), *_differences(forecast.detections)):
        indent = " " * (len(line) - len(line.lstrip()))
        print_text(line.lstrip(), first=indent, rest=f"{indent}  ")
    for sentence in _hindrances(forecast.cells):
        click.echo(sentence)


def print_cells(
    cells: Sequence[Cell],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str],
) -> None:
    """Print a line for each cell.

    Args:
        cells: What the lines are about.
        columns: Headings of what is said of each.
        rows: What is said of each.
        right: Headings of the columns to align on the right.
    """
    names = _names_of(cells)
    lines = [(*each.values(), *row) for each, row in zip(names, rows, strict=True)]
    print_table((*_NAMES, *columns), lines, right=right)


def _names_of(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Return what names each row; hyper-parameters only where the names are not enough."""
    specs = [cell.spec for cell in cells if cell.spec is not None]
    brief = [
        {
            "problem": spec.problem.name,
            "norm": spec.norm_label,
            "optimizer": f"{spec.optimizer_label}, trials" if spec.tuning else spec.optimizer_label,
            "protocol": " ".join((spec.protocol.name, *spec.deviations)),
        }
        for spec in specs
    ]
    counts = Counter(tuple(each.values()) for each in brief)
    return [
        each
        if counts[tuple(each.values())] == 1
        else {**each, "optimizer": optimizer_cell(Row(spec=spec, scores={}, outcomes={}))}
        for spec, each in zip(specs, brief, strict=True)
    ]


def _numbers(cell: Cell) -> tuple[str, ...]:
    states = [str(cell.counts[word] or "") for word in _STATES]
    states.append(_ended_badly([cell]))
    if cell.cost is None:
        return (str(len(cell.runs)), *states, "", "", "", "?" if cell.left else "", "")
    cost = cell.cost
    return (
        str(len(cell.runs)),
        *states,
        _step(cost.seconds_per_step),
        size(cost.peak_memory) if cost.peak_memory else "",
        duration(cost.seconds),
        duration(sum(cell.seconds_left)) if cell.left else "",
        cost.origin,
    )


def _ended_badly(cells: Sequence[Cell]) -> str:
    """Return how many runs ended without a result, by how they ended; empty if none did."""
    states = Counter(run.state for cell in cells for run in cell.runs)
    return states_in_words({state: states[state] for state in FAILED if states[state]})


def _step(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _totals(forecast: Forecast) -> list[str]:
    states = [f"{forecast.count(word)} {word}" for word in _STATES if forecast.count(word)]
    states += filter(None, [_ended_badly(forecast.cells)])
    lines = [f"Runs: {', '.join([str(forecast.runs), *states, f'{forecast.left} left'])}"]
    if not forecast.left:
        return lines
    known = forecast.left - forecast.unknown
    if known:
        lines.append(_time(forecast))
    if forecast.unknown:
        lines.append(f"Not in it: {counted(forecast.unknown, 'run')} of unknown length")
    lines.append(_disk(forecast))
    if forecast.not_probed:
        cells = counted(forecast.not_probed, "cell")
        lines.append(
            f"Not probed: {cells}; whether they can be trained shows in run --dry-run or suite run "
            "--dry-run"
        )
    return lines


def _time(forecast: Forecast) -> str:
    seconds, devices = forecast.device_seconds, forecast.devices
    line = f"Time left: {_hours(seconds)} device-hours on {forecast.hardware}"
    start = forecast.start_seconds
    starts = _NO_STARTS if start is None else f"{duration(start)} for the start of workers included"
    finish = duration(forecast.finish_seconds)
    alone = replace(forecast, devices=1).finish_seconds
    if devices == 1:
        return f"{line}, {finish} one after another; {starts}"
    return (
        f"{line}: {duration(alone)} one after another, {finish} with {devices} "
        f"at a time, longest first; {starts}"
    )


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _disk(forecast: Forecast) -> str:
    disk = forecast.disk
    how = "as measured on finished ones" if disk.measured else "by the length of their curves"
    line = f"Disk: {size(disk.runs)} for the runs left, {how}"
    if disk.checkpoints:
        line += f"; {size(disk.checkpoints)} of checkpoints meanwhile"
    return line


def _differences(detections: Sequence[Detection]) -> list[str]:
    lines = [line for each in detections for line in _difference(each)]
    if lines:
        lines += ["", _TEST]
    return ["", *lines]


def _difference(each: Detection) -> list[str]:
    """Return what one table detects, and on which grounds."""
    metric = each.metric
    head = f"{each.title}, {metric.name}: with {counted(each.pairs, 'seed')}"
    interest = _amount(metric.smallest_difference, metric.name)
    by = "" if each.declared else ", by default"
    rivals = f"{counted(each.rivals, 'rival')} of {each.reference}{by}"
    rivals = rivals if each.rivals else "one comparison, with a row that is not in this plan"
    if each.effect is None:
        return [f"{head} no difference can be found: a test needs at least two", f"  {rivals}"]
    if each.difference is None or each.deviation is None:
        return [
            f"{head} a difference can be found from {each.effect:.2f} times its standard deviation "
            "over seeds on",
            f"  {rivals}; of interest is {interest}; that standard deviation is known once 3 seeds "
            "of two rows of a plan are done",
        ]
    return [
        f"{head} a difference can be found from {_amount(each.difference, metric.name)} on; the "
        f"smallest difference of interest is {interest}: {_needed(each)}",
        f"  {rivals}; spread: {each.deviation.source}",
    ]


def _needed(each: Detection) -> str:
    if each.pairs_needed is None:
        return "no number of seeds finds it"
    if each.pairs_needed <= each.pairs:
        return "that is enough"
    return f"for it about {each.pairs_needed} seeds are needed"


def _amount(value: float, metric: str) -> str:
    if metric.endswith("accuracy"):
        return f"{100 * value:.2g} points"
    return f"{value:.2g}"


def _hindrances(cells: Sequence[Cell]) -> list[str]:
    """Return why cells cannot be trained here, and once for each dataset what it lacks."""
    missing = dict.fromkeys(cell.missing_data for cell in cells if cell.missing_data)
    failed = [f"cannot be trained: {cell.label}: {cell.error}" for cell in cells if cell.error]
    return [*failed, *missing]
