"""The engine as a row of ``normbench bench``, on one of its rungs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from normbench.bench.correctness import after_one_step, along_twenty_steps
from normbench.bench.driven import DrivenRun
from normbench.bench.material import Material
from normbench.bench.report import Check
from normbench.bench.timing import Turn
from normbench.engine.evaluation import Evaluator
from normbench.engine.graph import LadderLoop
from normbench.engine.precision import configure, forward_context
from normbench.engine.recording import RECORDERS
from normbench.engine.session import Session
from normbench.rungs import Rung

_NAMES = {
    Rung.EAGER: "normbench eager",
    Rung.GRAPH: "normbench graph",
    Rung.COMPILE: "normbench compiled graph",
}


def engine_name(rung: Rung, *, deterministic: bool, said: bool) -> str:
    """Return the name of a row; *said* whether it tells if bits must repeat."""
    words = ", deterministic" if deterministic else ", not deterministic"
    return _NAMES[rung] + (words if said else "")


class EngineRow:
    """The engine on one rung.

    Args:
        name: Of the row.
        material: What is trained.
        rung: Which.
        deterministic: Whether bits must repeat.
    """

    members = 1

    def __init__(self, name: str, material: Material, rung: Rung, *, deterministic: bool) -> None:
        self.name, self.deterministic = name, deterministic
        self.rung: Rung | None = rung
        self._rung = rung
        self._material = material
        self.session = material.session(rung, deterministic=deterministic)
        self._trained = 0
        self._run: DrivenRun | None = None
        self._evaluator = evaluator_of(self.session)

    def prepare(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        rules = self.session.spec.protocol.rules
        configure(rules.precision, deterministic=rules.deterministic, device=self.session.device)

    def train(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        self._trained += 1
        factors = [1.0] * self.session.source.steps
        self.session.loop.run_epoch(self._trained, factors, lambda _done, _all: None)

    def epoch(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        if self._run is None:
            self._run = DrivenRun(self._material, self.session)
        self._run.train()

    def bare(self) -> Turn:
        """See :class:`normbench.bench.contender.Contender`."""
        replay = self._replayed()
        steps = self._steps if replay is None else partial(self._replay, replay)

        def work() -> None:
            steps()
            self._evaluator.evaluate(self.session.network)

        return Turn(work, self._start, self._finish)

    def close(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        if self._run is not None:
            self._run.close()

    def checks(self) -> Sequence[Check]:
        """See :class:`normbench.bench.contender.Contender`."""
        opened = self._material.session(self._rung, deterministic=self.deterministic)
        same_kernels = self.deterministic and self._rung is not Rung.COMPILE
        found = [after_one_step(opened, same_kernels=same_kernels)]
        if self._rung is not Rung.EAGER:
            plain, fast = (
                self._material.session(engine, deterministic=self.deterministic)
                for engine in (Rung.EAGER, self._rung)
            )
            found.append(along_twenty_steps(plain, fast, exact=same_kernels))
        return found

    def fallen(self) -> str:
        """Return where the rung went if it did not hold; empty if it did."""
        loop = self.session.loop
        if not loop.decided or loop.name == self._rung:
            return ""
        return f"it did not hold on this device and fell back to {loop.name}"

    def _replayed(self) -> Callable[[], object] | None:
        loop = self.session.loop
        return loop.replay if isinstance(loop, LadderLoop) else None

    def _start(self) -> None:
        self.prepare()
        session = self.session
        session.source.start_epoch(1)
        session.randomness.start_epoch(1)
        session.network.train()
        if self._replayed():
            session.loop.step.start_epoch([1.0] * session.source.steps)

    def _finish(self) -> None:
        if self._replayed():
            self.session.loop.step.rates.end_epoch()

    def _replay(self, replay: Callable[[], object]) -> None:
        """Replay the steps of an epoch, and nothing else."""
        for _ in range(self.session.source.steps):
            replay()

    def _steps(self) -> None:
        """Do the steps of an epoch: no metrics, no schedule, no cursor."""
        session = self.session
        size, precision = session.source.batch_size, session.spec.protocol.rules.precision
        for cursor in torch.arange(session.source.steps, device=session.device) * size:
            session.optimizer.zero_grad(set_to_none=True)
            batch = session.source.batch(cursor, size)
            with forward_context(precision, session.device):
                loss = session.task(session.network, batch, {}).loss
            loss.backward()  # type: ignore[no-untyped-call]
            session.optimizer.step()


def evaluator_of(session: Session) -> Evaluator:
    """Return what evaluates *session* as a run does: captured where its steps are."""
    record = RECORDERS.get(session.device.type)
    recorder = record and record(session.device, session.randomness.evaluation_generators)
    return Evaluator(session, recorder)
