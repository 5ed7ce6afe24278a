"""The judgement of a test of a precision, made of the results of its runs. Values only.

Scores of each optimizer at each learning rate are divided by their standard deviation over seeds in
the reference arm, which makes them comparable; then all pairs are judged together. An optimizer at
one learning rate is a group. The margin holds for the mean over groups: no group has to be shown to
lie within it by itself, since 12 pairs are too few for that. The 90 % interval of 12 pairs of
independent arms reaches 1.8 sqrt(2 / 12) = 0.7 standard deviations to either side, more than the
margin, so that even equal arms would hardly ever pass.

A mean hides differences of opposite sign. So there is no pass where a group's interval lies wholly
beyond the margin, nor where the difference depends on the group (analysis of variance at the 5 %
level), unless each group is shown to lie within the margin after all. This finds large differences
between groups, and does not show that there are no small ones.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

import numpy as np

from normbench.descriptions import Metric
from normbench.quantities import counted
from normbench.verification.equivalence import ALPHA, EquivalenceTest, equivalence_test
from normbench.verification.heterogeneity import same_mean_p

MARGIN = 0.5
_ROUNDING = 1e-12


class Word(StrEnum):
    """What a test comes to."""

    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    NO_EVIDENCE = "no evidence"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The results of one optimizer at one learning rate in one precision.

    Attributes:
        values: Test value by metric, then by seed, of runs that finished.
        chosen: Value by seed that a learning rate would be chosen by, of runs that finished.
        diverged: Seeds that diverged.
        missing: Seeds without a result.
    """

    values: Mapping[str, Mapping[int, float]]
    chosen: Mapping[int, float]
    diverged: Sequence[int] = ()
    missing: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both arms of one optimizer at one learning rate."""

    optimizer: str
    rate: float
    new: Arm
    base: Arm

    @property
    def whole(self) -> bool:
        """Whether every run of both arms finished."""
        return not any((*arm.diverged, *arm.missing) for arm in (self.new, self.base))

    def standardised(self, metric: str) -> tuple[list[float], list[float]] | None:
        """Return the values of both arms in standard deviations of the reference's seeds.

        None if the seed changes nothing there, so that nothing can be measured by it.
        """
        seeds = sorted(self.base.values[metric])
        base = [self.base.values[metric][seed] for seed in seeds]
        new = [self.new.values[metric][seed] for seed in seeds]
        deviation = statistics.stdev(base)
        if deviation <= _ROUNDING * max(map(abs, base)):
            return None
        return [value / deviation for value in new], [value / deviation for value in base]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one metric.

    Attributes:
        metric: Its name, such as ``test_accuracy``.
        test: The equivalence test, in standard deviations; None if nothing could be judged.
        correlation: Of the two arms over seeds, within groups; None if it cannot be computed.
        left_out: Groups that could not be judged, as ``OPTIMIZER lr=RATE``.
        identical: Whether every pair has equal values.
        groups: The same test of each group by itself, by its label.
        groups_p: The p that the difference is the same in each group; None for one group.
    """

    metric: str
    test: EquivalenceTest | None
    correlation: float | None
    left_out: Sequence[str] = ()
    identical: bool = False
    groups: Mapping[str, EquivalenceTest] = field(default_factory=dict)
    groups_p: float | None = None

    @property
    def uneven(self) -> bool:
        """Whether the difference depends on the group, and may exceed the margin in one."""
        depends = self.groups_p is not None and self.groups_p < ALPHA
        return depends and not all(test.equivalent for test in self.groups.values())


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a test comes to.

    Attributes:
        word: The verdict.
        reasons: Why it is no better one, in clauses; empty for ``equivalent``.
        findings: One for each metric.
        best: Best learning rate in the reference and in the precision in question, by optimizer;
            None where no rate has all its results.
        left_out: Groups of which a run diverged, as ``OPTIMIZER lr=RATE``.
    """

    word: Word
    reasons: Sequence[str]
    findings: Sequence[Finding]
    best: Mapping[str, tuple[float | None, float | None]]
    left_out: Sequence[str] = ()


def judge(pairs: Sequence[Pair], metrics: Sequence[str], metric: Metric) -> Judgement:
    """Judge the results of a test.

    Args:
        pairs: One for each optimizer at each rate.
        metrics: Names of what must be equivalent.
        metric: The problem's, by whose direction the best rate is chosen.
    """
    findings = [_finding(pairs, name) for name in metrics]
    best = {
        name: _best([pair for pair in pairs if pair.optimizer == name], metric)
        for name in dict.fromkeys(pair.optimizer for pair in pairs)
    }
    missing = sum(len(pair.new.missing) + len(pair.base.missing) for pair in pairs)
    left_out = [_label(pair) for pair in pairs if pair.new.diverged or pair.base.diverged]
    if missing:
        word, reasons = Word.INCOMPLETE, [f"{counted(missing, 'run')} without a result"]
    else:
        word, reasons = _word(findings, best, pairs)
    return Judgement(word=word, reasons=reasons, findings=findings, best=best, left_out=left_out)


def _word(
    findings: Sequence[Finding],
    best: Mapping[str, tuple[float | None, float | None]],
    pairs: Sequence[Pair],
) -> tuple[Word, list[str]]:
    beyond = [
        f"{finding.metric} differs on average by more than the margin"
        for finding in findings
        if finding.test is not None and finding.test.different
    ]
    if beyond:
        return Word.DIFFERENT, beyond
    reasons = [*_unshown(findings), *_moved(best), *_diverged(pairs)]
    return (Word.NO_EVIDENCE if reasons else Word.EQUIVALENT), reasons


def _unshown(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        if finding.test is None:
            yield f"{finding.metric} does not vary over seeds, or every group has diverged runs"
            continue
        if not finding.test.equivalent:
            yield f"{finding.metric} is not shown to lie within the margin"
        yield from _uneven(finding)
        if finding.left_out:
            yield f"{finding.metric} does not vary over seeds for {', '.join(finding.left_out)}"


def _uneven(finding: Finding) -> Iterator[str]:
    """Yield what the mean over groups hides, told by the group that differs most."""
    beyond = {label: test for label, test in finding.groups.items() if test.different}
    told = beyond or finding.groups
    label, most = max(told.items(), key=lambda item: abs(item[1].difference))
    if beyond:
        low, high = most.interval
        yield (
            f"{finding.metric} differs by more than the margin in "
            f"{len(beyond)} of {counted(len(finding.groups), 'group')}, most for {label}: by "
            f"{most.difference:+.2f} standard deviations (90 % interval {low:+.2f} to {high:+.2f})"
        )
    elif finding.uneven:
        yield (
            f"the difference of {finding.metric} depends on optimizer and learning rate "
            f"(p = {finding.groups_p:.2g}), and is largest for {label}: "
            f"{most.difference:+.2f} standard deviations"
        )


def _moved(best: Mapping[str, tuple[float | None, float | None]]) -> Iterator[str]:
    for optimizer, (base, new) in best.items():
        if base != new:
            yield f"the best learning rate of {optimizer} moves from {_rate(base)} to {_rate(new)}"


def _diverged(pairs: Sequence[Pair]) -> Iterator[str]:
    for pair in pairs:
        if pair.new.diverged or pair.base.diverged:
            yield (
                f"{_label(pair)} is left out, since {len(pair.new.diverged)} of its runs diverged "
                f"and {len(pair.base.diverged)} of the reference's: choose smaller --rates"
            )


def _finding(pairs: Sequence[Pair], metric: str) -> Finding:
    standardised = {_label(pair): pair.standardised(metric) for pair in pairs if pair.whole}
    groups = {label: values for label, values in standardised.items() if values is not None}
    judged = list(groups.values())
    new = list(chain.from_iterable(values for values, _ in judged))
    base = list(chain.from_iterable(values for _, values in judged))
    return Finding(
        metric=metric,
        test=equivalence_test(new, base, margin=MARGIN) if judged else None,
        correlation=_correlation(judged),
        left_out=[label for label, values in standardised.items() if values is None],
        identical=bool(judged) and new == base,
        groups={label: equivalence_test(*arms, margin=MARGIN) for label, arms in groups.items()},
        groups_p=same_mean_p(
            [np.subtract(*arms) for arms in judged], max(map(abs, (*new, *base)), default=0.0)
        ),
    )


def _correlation(judged: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """Return the correlation of both arms, each about the mean of its group."""
    one = [v - statistics.fmean(new) for new, _ in judged for v in new]
    other = [v - statistics.fmean(base) for _, base in judged for v in base]
    length = math.sqrt(math.fsum(v * v for v in one) * math.fsum(v * v for v in other))
    return math.fsum(v * w for v, w in zip(one, other, strict=True)) / length if length else None


def _best(pairs: Sequence[Pair], metric: Metric) -> tuple[float | None, float | None]:
    return _best_of(pairs, metric, "base"), _best_of(pairs, metric, "new")


def _best_of(pairs: Sequence[Pair], metric: Metric, side: str) -> float | None:
    sign = 1 if metric.direction == "max" else -1
    found = {
        pair.rate: sign * statistics.fmean(arm.chosen.values())
        for pair in pairs
        if not (arm := pair.base if side == "base" else pair.new).diverged and not arm.missing
    }
    return max(found, key=lambda rate: found[rate]) if found else None


def _label(pair: Pair) -> str:
    return f"{pair.optimizer} lr={pair.rate:g}"


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:g}"
