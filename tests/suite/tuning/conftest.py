"""What stands in for training, where a test is about tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from normbench.api import Report
from normbench.report import rows_of
from normbench.store import RunState, RunStore


def accuracy(spec):
    """Return a validation accuracy that is best at a learning rate of 1 and worse with seeds."""
    return 0.9 - 0.1 * abs(math.log10(spec.optimizer.number("lr"))) - 1e-6 * (spec.seed % 1000)


@dataclass
class Trainer:
    """Stands in for :func:`normbench.api.launch`; notes which runs it ended, in order."""

    outcome: object = lambda _spec: "finished"
    score: object = accuracy
    ended: list = field(default_factory=list)
    launches: int = 0

    def __call__(self, specs, catalogue, launching):
        store = RunStore.open(launching.store, create=True)
        runs = [store.add(spec) for spec in specs]
        before = len(self.ended)
        self.launches += 1
        assert self.launches < 50, "it launches for ever"
        for run in runs:
            if run.result() is None:
                self._end(run)
        known = store.indexed([run.fingerprint for run in runs])
        rows = tuple(rows_of(runs, known))
        return Report(rows=rows, store=store.root, trained=len(self.ended) - before)

    def _end(self, run):
        outcome = self.outcome(run.spec)
        if outcome == "interrupt":
            raise KeyboardInterrupt
        with run.claim({}) as attempt:
            if outcome == "failed":
                attempt.close(RunState.FAILED, "made to fail")
                return
            self.ended.append(run.spec)
            # Whoever chose by test, or at the other epoch, would choose the worst.
            parts = {"validation": self.score(run.spec), "test": 1 - self.score(run.spec)}
            point = {name: {"accuracy": value} for name, value in parts.items()}
            other = {name: {"accuracy": 1 - value} for name, value in parts.items()}
            best = run.spec.protocol.rules.select == "best"
            worst = run.spec.problem.metric.worst
            attempt.publish(
                {
                    "outcome": outcome,
                    "score": worst if outcome == "diverged" else parts["test"],
                    "final": other if best else point,
                    "best": point if best else other,
                    "epochs": run.spec.epochs,
                    "train_seconds": 1.0,
                }
            )


@pytest.fixture
def trainer(monkeypatch):
    """Replace training by made-up results."""
    made = Trainer()
    monkeypatch.setattr("normbench.tuning.conduct.launch", made)
    monkeypatch.setattr("normbench.tuning.together.launch", made)
    return made
