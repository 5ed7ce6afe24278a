"""Test error against the batch size, from large to small."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.plots.figures import Look, refuse_pooling
from normbench.plots.style import (
    Entry,
    add_grid,
    add_legend,
    add_title,
    interval,
    look,
    new_figure,
)
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(runs: Sequence[StoredRun], choice: Look) -> Figure:  # noqa: ARG001 - one of several
    """Return the figure of *runs*: for each norm the mean error and its 95 % t interval.

    Raises:
        UsageError: If the problem has no accuracy, or there is one batch size only.
    """
    metric = runs[0].spec.problem.metric
    if not metric.name.endswith("accuracy"):
        raise UsageError(
            f"problem {runs[0].spec.problem.name} is judged by {metric.name}, which is no accuracy "
            "and has no error. Choose another problem."
        )
    refuse_pooling(runs, lambda spec: (spec.norm_label, spec.problem.training.batch_size))
    lines = _errors(runs)
    sizes = sorted({size for errors in lines.values() for size in errors}, reverse=True)
    if len(sizes) < 2:
        raise UsageError(
            f"these runs have {len(sizes)} batch sizes with a result: expected two or more. Train "
            "others: normbench run PROBLEM OPTIMIZER problem.batch_size=8"
        )
    entries = [
        Entry(f"{label}: n={_seeds(errors)}", *look(number))
        for number, (label, errors) in enumerate(lines.items())
    ]
    drawn = new_figure(1, 1, entries, panel=(5.2, 3.4))
    axis = drawn.subplots()
    for entry, errors in zip(entries, lines.values(), strict=True):
        means = [math.fsum(values) / len(values) for values in errors.values()]
        half = [interval(values) for values in errors.values()]
        axis.plot(list(errors), means, color=entry.colour, linestyle=entry.dash, marker="o", ms=4)
        low = [mean - h for mean, h in zip(means, half, strict=True)]
        high = [mean + h for mean, h in zip(means, half, strict=True)]
        axis.fill_between(list(errors), low, high, color=entry.colour, alpha=0.18, linewidth=0)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.invert_xaxis()
    axis.set_xlabel("batch size [examples]")
    axis.set_ylabel(f"{metric.name.partition('_')[0]} error [%]")
    add_grid(axis)
    add_title(drawn, _title(runs))
    add_legend(drawn, entries, "line: mean over n seeds; band: 95 % t interval of the mean")
    return drawn


def _errors(runs: Sequence[StoredRun]) -> dict[str, dict[int, list[float]]]:
    """Return errors in percent by norm, and by batch size from large to small."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(runs, key=lambda run: -run.spec.problem.training.batch_size):
        result = run.result()
        if result is not None:
            size = run.spec.problem.training.batch_size
            found[run.spec.norm_label][size].append(100 * (1 - result["score"]))
    return found


def _seeds(errors: dict[int, list[float]]) -> str:
    counts = sorted({len(values) for values in errors.values()})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _title(runs: Sequence[StoredRun]) -> str:
    spec = runs[0].spec
    return f"{spec.problem.name}, {spec.optimizer.name}, protocol {spec.protocol.name}"
