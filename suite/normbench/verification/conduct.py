"""A test of a precision at work: train both arms, judge them, store what was found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from normbench.api import Launching, Report, launch
from normbench.leaderboard.provenance import provenance_of
from normbench.leaderboard.reading import StoreReader
from normbench.planning import plan
from normbench.plugins import Catalogue
from normbench.store import RunStore, store_path
from normbench.store.verifications import write_verification
from normbench.verification.judging import Arm, Judgement, Pair, Word, judge
from normbench.verification.plan import Plan, PrecisionTest, plan_test
from normbench.verification.results import metrics_of, read_pairs
from normbench.verification.words import sentence


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """What a call of ``normbench verify precision`` leaves behind.

    Attributes:
        plan: The runs.
        pairs: Their results.
        judgement: What they come to.
        launched: Of the launch.
        path: File of the result; None while runs are missing.
    """

    plan: Plan
    pairs: tuple[Pair, ...]
    judgement: Judgement
    launched: Report
    path: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether it is a passed full test."""
        return self.judgement.word is Word.EQUIVALENT and not self.plan.small

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        return {
            **content_of(self.plan, self.pairs, self.judgement),
            "store": str(self.launched.store),
            "file": str(self.path) if self.path else None,
            "trained": self.launched.trained,
            "going_on": self.launched.going_on,
        }


def plan_here(asked: PrecisionTest, catalogue: Catalogue, launching: Launching) -> Plan:
    """Return the runs of a test, checked as those of ``normbench run`` are.

    Raises:
        UsageError: If the test cannot be carried out as given.
    """
    return plan_test(asked, catalogue, partial(plan, folder=launching.data_dir))


def run_test(test: Plan, catalogue: Catalogue, launching: Launching) -> TestReport:
    """Train what is missing of *test*, judge it, and store the result once it is whole.

    Raises:
        StoreError: If the store cannot be written.
    """
    launched = launch(test.runs, catalogue, launching)
    store = RunStore.open(store_path(launching.store))
    pairs = tuple(read_pairs(store, test))
    judgement = judge(pairs, metrics_of(test.base), test.base.problem.metric)
    path = None
    if judgement.word is not Word.INCOMPLETE:
        content = {**content_of(test, pairs, judgement), **_origin(store, test)}
        path = write_verification(store.root, test.id, content)
    return TestReport(plan=test, pairs=pairs, judgement=judgement, launched=launched, path=path)


def content_of(test: Plan, pairs: tuple[Pair, ...], judgement: Judgement) -> dict[str, Any]:
    """Return what was tested and found, as strict JSON values."""
    base = test.base
    return {
        "problem": base.problem.name,
        "norm": base.norm_label,
        "protocol": base.protocol.name,
        "deviations": [word for word in base.deviations if not _of_precision(word)],
        "precision": test.precision,
        "against": test.against,
        "optimizers": test.optimizers,
        "seeds": test.seeds,
        "small": test.small,
        "verdict": judgement.word.value,
        "passed": judgement.word is Word.EQUIVALENT and not test.small,
        "sentence": sentence(test, judgement),
        "reasons": list(judgement.reasons),
        "findings": [asdict(finding) for finding in judgement.findings],
        "best_rates": {
            name: {test.against: best[0], test.precision: best[1]}
            for name, best in judgement.best.items()
        },
        "groups": [_group(test, number, pair) for number, pair in enumerate(pairs)],
        "table": test.table,
    }


def _group(test: Plan, number: int, pair: Pair) -> dict[str, Any]:
    arms = {test.against: pair.base, test.precision: pair.new}
    return {
        "optimizer": pair.optimizer,
        "rate": pair.rate,
        "arms": {
            precision: {
                "runs": {
                    str(spec.seed): spec.fingerprint for spec in test.groups[number].arms[precision]
                },
                **_results(arm),
            }
            for precision, arm in arms.items()
        },
    }


def _results(arm: Arm) -> dict[str, Any]:
    return {
        "values": {name: _by_seed(values) for name, values in arm.values.items()},
        "chosen_by": _by_seed(arm.chosen),
        "diverged": list(arm.diverged),
        "missing": list(arm.missing),
    }


def _by_seed(values: Mapping[int, float]) -> dict[str, float]:
    return {str(seed): value for seed, value in values.items()}


def _origin(store: RunStore, test: Plan) -> dict[str, Any]:
    """Return where the runs were trained, and when they were judged."""
    names = [spec.fingerprint for spec in test.runs]
    found = provenance_of(StoreReader(store).environments(names).values())
    return {
        "hardware": dict(found.hardware),
        "versions": dict(found.versions),
        "commits": dict(found.commits),
        "judged_at": time.time(),
    }


def _of_precision(word: str) -> bool:
    return word.startswith("protocol.precision=")
