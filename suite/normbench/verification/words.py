"""What a test of a precision says: its tables, and the sentence that it comes to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from normbench.quantities import counted
from normbench.tables import score
from normbench.verification.judging import MARGIN, Arm, Judgement, Pair, Word
from normbench.verification.plan import OPTIMIZERS, RATES, SEEDS, Plan

FOUND = ("metric", "pairs", "difference", "90 % interval", "p", "correlation", "p of equal groups")
FULL = f"{len(OPTIMIZERS)} optimizers, {RATES} learning rates each, {SEEDS} seeds each"


def columns(test: Plan, metrics: Sequence[str]) -> list[str]:
    """Return the headings of :func:`group_rows`."""
    arms = [f"{name} {arm}" for name in metrics for arm in (test.against, test.precision)]
    return ["optimizer", "lr", *arms, "diverged"]


def group_rows(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[list[str]]:
    """Return a line for each optimizer at each rate: mean and standard deviation of both arms."""
    return [
        [
            pair.optimizer,
            f"{pair.rate:g}",
            *(_mean(arm, name) for name in metrics for arm in (pair.base, pair.new)),
            _diverged(pair),
        ]
        for pair in pairs
    ]


def found_rows(judgement: Judgement) -> list[list[str]]:
    """Return a line for each metric, under :data:`FOUND`."""
    rows = []
    for finding in judgement.findings:
        test = finding.test
        if test is None:
            rows.append([finding.metric, "0", "", "", "", "", ""])
            continue
        low, high = test.interval
        rows.append(
            [
                finding.metric,
                str(test.n),
                f"{test.difference:+.3f} sd",
                f"{low:+.3f} to {high:+.3f} sd",
                f"{test.p:.2g}",
                "" if finding.correlation is None else f"{finding.correlation:.2f}",
                "" if finding.groups_p is None else f"{finding.groups_p:.2g}",
            ]
        )
    return rows


def verdict(test: Plan, judgement: Judgement) -> str:
    """Return the verdict in words, with what the size of the test makes of it."""
    return f"{judgement.word}{', small' if test.small else ''}"


def sentence(test: Plan, judgement: Judgement) -> str:
    """Return what was found, in sentences for somebody who has not read about the test."""
    base = test.base
    what = f"{test.precision} and {test.against} on {base.problem.name} with {base.norm_label}"
    runs = counted(sum(len(group.arms[test.precision]) for group in test.groups), "run")
    said = {
        Word.EQUIVALENT: f"{what} are equivalent over {runs} an arm: differences of test score and "
        f"loss, on average over optimizers and learning rates, lie within {MARGIN} standard "
        "deviations of what the seed changes, nothing shows that one optimizer at one rate exceeds "
        "that, and the best learning rate of each optimizer is the same.",
        Word.DIFFERENT: f"{what} are different over {runs} an arm: {_joined(judgement)}.",
        Word.NO_EVIDENCE: f"It is not shown that {what} are equivalent over {runs} an arm: "
        f"{_joined(judgement)}.",
        Word.INCOMPLETE: f"Nothing is known of {what} yet: {_joined(judgement)}.",
    }[judgement.word]
    if any(finding.identical for finding in judgement.findings):
        said += " Runs with the same seed have equal values: the two are computed alike here."
    if test.small:
        said += f" This is smaller than the full test ({FULL}) and no pass of it."
    return said


def _joined(judgement: Judgement) -> str:
    return "; ".join(judgement.reasons)


def _mean(arm: Arm, metric: str) -> str:
    values = list(arm.values[metric].values())
    if not values:
        return ""
    mean = score(statistics.fmean(values), metric)
    return f"{mean} ({score(statistics.stdev(values), metric)})" if len(values) > 1 else mean


def _diverged(pair: Pair) -> str:
    counts = [len(arm.diverged) for arm in (pair.base, pair.new)]
    return " and ".join(map(str, counts)) if any(counts) else ""
