"""Which number a row is judged by: the problem's own metric, or another one of the results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.store import RunState

PARTS = ("test", "validation", "train")
COSTS = ("train_seconds", "peak_memory_mb")
_TARGETS = ("epochs_to_target", "seconds_to_target")


def metric_named(name: str | None, own: Metric) -> Metric:
    """Return what *name* stands for: the problem's *own* metric, or a part's loss or accuracy.

    ``test_loss`` and the like are of the epoch that the protocol selects last; ``best_test_loss``
    of the best epoch on validation.

    Raises:
        UsageError: If results hold nothing of that name.
    """
    if name is None or name == own.name:
        return own
    if name in _TARGETS:
        raise UsageError(
            f"metric {name!r}: seeds that miss the target have no number, so rows have no mean. "
            "Every table shows the time to the target beside the rows; compare A B tests it."
        )
    part, _, quantity = name.removeprefix("best_").partition("_")
    if name not in COSTS and (part not in PARTS or not quantity):
        raise UsageError(
            f"unknown metric {name!r}: expected the problem's own, {own.name}, or "
            f"test_loss, validation_accuracy, best_test_loss and the like, or {', '.join(COSTS)}."
        )
    direction = "max" if name.endswith("accuracy") else "min"
    return Metric(name=name, direction=direction, worst=math.nan, smallest_difference=0.0)  # type: ignore[arg-type]


def values_of(rows: Sequence[ReadRow], metric: Metric, reader: Reader) -> list[Mapping[int, float]]:
    """Return the values of each row by seed.

    By the problem's own metric a diverged seed has its worst score; by any other it has none.

    Raises:
        UsageError: If no result has the metric.
    """
    if all(row.metric.name == metric.name for row in rows):
        return [row.scores for row in rows]
    wanted = {
        run.fingerprint: (row.row, seed)
        for row in rows
        for seed, run in row.runs.items()
        if run.state is RunState.FINISHED
    }
    values: dict[str, dict[int, float]] = {row.row: {} for row in rows}
    names: set[str] = set()
    for fingerprint, result in reader.results(wanted).items():
        found = dict(_numbers(result))
        names |= found.keys()
        if metric.name in found:
            row, seed = wanted[fingerprint]
            values[row][seed] = found[metric.name]
    if names and metric.name not in names:
        raise UsageError(
            f"no result has {metric.name!r}. The results of {rows[0].problem} have: "
            f"{', '.join(sorted(names))}."
        )
    return [dict(sorted(values[row.row].items())) for row in rows]


def _numbers(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what a result holds as (name, number)."""
    for when, prefix in (("final", ""), ("best", "best_")):
        for part, quantities in (result.get(when) or {}).items():
            if isinstance(quantities, Mapping):
                for quantity, value in quantities.items():
                    if isinstance(value, int | float) and math.isfinite(value):
                        yield f"{prefix}{part}_{quantity}", float(value)
    for name in COSTS:
        if isinstance(result.get(name), int | float):
            yield name, float(result[name])
