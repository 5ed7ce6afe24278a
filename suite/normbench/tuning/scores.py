"""The scores of trials as statistics take them.

A diverged trial counts as the metric's worst score, on the validation and on the test part, and a
finished one never counts as worse than that.
"""

from __future__ import annotations

from collections.abc import Sequence

from normbench.descriptions import Metric
from normbench.tuning.study import Trial


def validation_score(trial: Trial, metric: Metric) -> float:
    """Return the validation score of a trial that has ended."""
    return metric.worst if trial.score is None else _no_worse(trial.score, metric)


def test_scores(trials: Sequence[Trial], metric: Metric) -> list[float] | None:
    """Return the test scores of trials that have ended; None if one that finished has none."""
    if any(trial.test is None and trial.score is not None for trial in trials):
        return None
    return [
        metric.worst if trial.test is None else _no_worse(trial.test, metric) for trial in trials
    ]


def _no_worse(score: float, metric: Metric) -> float:
    return metric.worst if metric.better(metric.worst, score) else score
