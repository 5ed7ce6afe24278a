"""What the figures of a study share: titles, axis names, and the entry of the default setting."""

from __future__ import annotations

from normbench.plots.style import AXIS_LABELS, COLOURS, Entry
from normbench.tuning.summary import Summary

CURVE, DEFAULT, DIVERGED, GOOD = COLOURS[0], COLOURS[6], COLOURS[1], COLOURS[2]


def title_of(summary: Summary) -> str:
    """Return the cell and how its trials were drawn."""
    study = summary.study
    words = " ".join([study.protocol, *study.deviations])
    how = f"{study.method}, sequential" if summary.sequential else study.method
    return f"{study.problem}, {study.norm_label}, {study.optimizer}, protocol {words}; {how}"


def metric_of(summary: Summary) -> str:
    """Return the metric without its part, such as ``accuracy``."""
    return summary.study.metric.name.partition("_")[2]


def score_label(summary: Summary, part: str) -> str:
    """Return the name of an axis with scores of *part*."""
    metric = metric_of(summary)
    return f"{part} {AXIS_LABELS.get(metric, metric)}"


def default_entries(summary: Summary) -> list[Entry]:
    """Return the legend entry of the default setting, where it has a score to draw."""
    if summary.default is None or summary.study.default.diverged:
        return []
    return [Entry("default setting", DEFAULT, "--")]


def outcome_words(summary: Summary) -> str:
    """Return how many trials diverged, and whether the default setting did."""
    default = "; the default setting diverged" if summary.study.default.diverged else ""
    return f"{summary.diverged.count} of {summary.diverged.total} trials diverged{default}"
