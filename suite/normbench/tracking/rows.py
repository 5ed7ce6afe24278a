"""What MLflow should hold about a row, computed from the runs of its seeds in MLflow.

Several stores may feed one server, each with some seeds of a row; what is said about the row is
therefore taken from what MLflow holds, so that all of them arrive at the same.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from normbench.store import RunState
from normbench.tracking import names
from normbench.tracking.experiments import MlflowRun
from normbench.tracking.progress import Progress
from normbench.tracking.seeds import RESULTS, Point, rounded

_BROKEN = {RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.TIMED_OUT}
_DIGITS = 6
_TRAINED = "final/train_s"


@dataclass(frozen=True, kw_only=True)
class RowContent:
    """What changes about a row while its seeds train.

    Attributes:
        status: MLflow's status word.
        end: When the last seed ended in milliseconds, 0 if none has.
        tags: The mean score in words, and how far the row is.
        points: Number of results, their mean and standard deviation. Diverged seeds count, with
            the problem's worst score.
    """

    status: str
    end: int
    tags: dict[str, str]
    points: Sequence[Point]
    progress: Progress


def row_content(
    seeds: Collection[MlflowRun], waiting: Mapping[RunState, int], trained: float = 0.0
) -> RowContent:
    """Return what the row of *seeds* should show.

    Args:
        seeds: Those that have begun.
        waiting: Number of those that have not, by state.
        trained: See :meth:`normbench.tracking.progress.Progress.of_row`.
    """
    counts = Counter(RunState(seed.tags[names.STATE]) for seed in seeds)
    counts.update(waiting)
    done = [seed for seed in seeds if _score(seed) is not None]
    scores = [seed.metrics[names.FINAL_SCORE] for seed in done]
    ends = [seed.end for seed in seeds if seed.end]
    progress = Progress.of_row(counts, _pace(done), trained)
    tags = {**progress.tags(), names.SCORE: _in_words(scores)}
    end = max(ends, default=0)
    last = max((seed.end for seed in done if seed.end), default=0)
    diverged = counts[RunState.DIVERGED]
    return RowContent(
        status=_status(counts),
        end=end,
        tags=tags,
        points=_points(scores, diverged, last),
        progress=progress,
    )


def _score(seed: MlflowRun) -> float | None:
    if RunState(seed.tags[names.STATE]) not in RESULTS:
        return None
    return seed.metrics.get(names.FINAL_SCORE)


def _pace(done: Collection[MlflowRun]) -> float | None:
    """Return how long a finished run trained on average; None if none says so."""
    finished = [seed for seed in done if RunState(seed.tags[names.STATE]) is RunState.FINISHED]
    known = [seed.metrics[_TRAINED] for seed in finished if _TRAINED in seed.metrics]
    return statistics.fmean(known) if known else None


def _in_words(scores: Sequence[float]) -> str:
    if not scores:
        return "none yet"
    mean = f"{statistics.fmean(scores):.4g}"
    return f"{mean} ± {statistics.stdev(scores):.2g}" if len(scores) > 1 else mean


def _points(scores: Sequence[float], diverged: int, time: int) -> list[Point]:
    """Return the row's metrics; their step is the number of results, so a newer one comes last."""
    n = len(scores)
    if not n:
        return []
    values = {
        names.RESULTS: float(n),
        "row/mean": statistics.fmean(scores),
        "row/diverged": diverged,
    }
    if n > 1:
        values["row/sd"] = statistics.stdev(scores)
    return [
        Point(key, rounded(value, _DIGITS) or 0.0, time, n) for key, value in sorted(values.items())
    ]


def _status(counts: Counter[RunState]) -> str:
    if counts[RunState.RUNNING]:
        return "RUNNING"
    if any(counts[state] for state in _BROKEN):
        return "FAILED"
    if counts[RunState.KILLED] or counts[RunState.INTERRUPTED]:
        return "KILLED"
    if counts[RunState.PENDING]:
        return "SCHEDULED"
    return "KILLED" if counts[RunState.CANCELLED] else "FINISHED"
