"""Training that takes no time: runs get the scores that a test says they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from normbench import api
from normbench.cli import cli
from normbench.plugins import Catalogue, load_catalogue
from normbench.report import rows_of
from normbench.resolve import Request
from normbench.specs import RunSpec
from normbench.staging import Staging, run_staged
from normbench.store import RunState, RunStore, StoredRun

Score = Callable[[RunSpec], float | None]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


def publish(run: StoredRun, score: float | None) -> None:
    """Give a run the result that a worker would, or let it fail."""
    attempt = run.claim({"hardware": {"device": "one"}, "versions": {"torch": "2.15"}, "git": {}})
    assert attempt is not None
    with attempt:
        if score is None:
            attempt.close(RunState.FAILED, "made to fail")
            return
        metrics = {"loss": 1 - score, "accuracy": score}
        last = {"epoch": 2, **dict.fromkeys(("train", "validation", "test"), metrics)}
        attempt.append({**last, "step": 2, "time": 1e9, "train_seconds": 1.0})
        attempt.publish(
            {
                "schema": 1,
                "fingerprint": run.fingerprint,
                "outcome": "finished",
                "metric": "test_accuracy",
                "score": score,
                "final": last,
                "best": last,
                "epochs": 2,
                "train_seconds": 1.5,
                "time_to_target": {"target": None, "reached": False},
                "finished_at": 1e9,
                "attempt": attempt.number,
            }
        )


@dataclass
class Trainer:
    """Stands in for :func:`normbench.api.launch`.

    Attributes:
        store: The run store.
        catalogue: What the plugins offer.
        score: Gives the score of a run; None if it fails.
        launches: Runs that each launch trained, as (optimizer, seed).
        declared: Whether the store had declarations when the first launch began.
        stop: Launch that is interrupted after half of its runs.
        going_on: What a launcher says that does not wait.
    """

    store: Path
    catalogue: Catalogue
    score: Score = field(default=lambda _: 0.5)
    launches: list[list[tuple[str, int]]] = field(default_factory=list)
    declared: bool = False
    stop: int = -1
    going_on: str = ""

    def launch(self, specs: Sequence[RunSpec], catalogue: Catalogue, launching: object):
        store = RunStore.open(self.store, create=True)
        self.declared |= not self.launches and (self.store / "stages").is_dir()
        runs = [store.add(spec) for spec in specs]
        new = [run for run in runs if run.result() is None]
        if len(self.launches) == self.stop:
            new = new[: len(new) // 2]
        self.launches.append([(r.spec.optimizer.name, r.spec.seed) for r in new])
        for run in [] if self.going_on else new:
            publish(run, self.score(run.spec))
        if len(self.launches) == self.stop + 1:
            raise KeyboardInterrupt
        return api.Report(
            rows=tuple(rows_of(runs)),
            store=self.store,
            trained=len(new),
            going_on=self.going_on,
        )

    def train(self, optimizer: str, seeds: int, **names: object) -> None:
        """Train so many seeds, as a plain ``normbench run`` would."""
        from normbench.resolve import resolve

        request = Request(
            problem=str(names.pop("problem", "digits_cnn_bn")),
            optimizer=optimizer,
            seeds=seeds,
            norm=names.pop("norm", None),
        )
        store = RunStore.open(self.store, create=True)
        for spec in resolve(request, self.catalogue):
            run = store.add(spec)
            if run.result() is None:
                publish(run, self.score(spec))

    def staged(
        self,
        optimizer: str = "adam",
        problem: str = "digits_cnn_bn",
        norm: str | None = None,
        **asked: object,
    ):
        """Add seeds until decided; return the decision."""
        request = Request(problem=problem, optimizer=optimizer, norm=norm)
        launching = api.Launching(store=self.store, track=False)
        report = run_staged(Staging(request=request, **asked), self.catalogue, launching)
        return report.decision

    def invoke(self, *words: object) -> Result:
        """Call the command line on the store."""
        return CliRunner().invoke(cli, [*map(str, words), "--store", str(self.store)])


@pytest.fixture
def trainer(tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    # Hundreds of runs in a moment: what a power cut would leave of them is tested elsewhere.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    made = Trainer(tmp_path / "store", catalogue)
    monkeypatch.setattr(api, "launch", made.launch)
    return made
