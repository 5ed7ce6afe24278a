"""A pack as a row of ``normbench bench``: runs at other seeds as branches of one captured graph."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.bench.correctness import WARM_STEPS, as_each_alone, run_steps
from normbench.bench.driven import DrivenPack
from normbench.bench.engine_row import evaluator_of
from normbench.bench.material import Material
from normbench.bench.report import Check
from normbench.bench.timing import Turn
from normbench.engine.branches import Branches, record_branches
from normbench.engine.graph import LadderLoop
from normbench.engine.precision import configure
from normbench.engine.session import Session
from normbench.engine.sums import PendingSums
from normbench.rungs import Rung

RUNS = 8


class Together:
    """Sessions whose steps are taken side by side.

    Each takes its first steps by itself, as epoch 1, to climb its ladder.

    Args:
        sessions: New ones of one spec at other seeds.

    Attributes:
        reason: Why they cannot be; empty if they can.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions, self.reason = sessions, ""
        self._branches: Branches | None = None
        for session in sessions:
            run_steps(session, 1, [1.0] * min(WARM_STEPS, session.source.steps))
        loops = [each.loop for each in sessions if isinstance(each.loop, LadderLoop)]
        if not all(loop.can_branch for loop in loops):
            self.reason = "its runs do not hold as whole captured steps"
            return
        for loop in loops:
            loop.begin_epoch(1, [1.0] * loop.step.source.steps)
        self._branches, reason = record_branches(loops, loops[0].step.source.steps)
        self.reason = reason and f"its runs do not hold side by side: {reason}"

    def begin(self, epoch: int, factors: Sequence[float]) -> None:
        """Go to the first batch of *epoch*."""
        for loop in self._loops:
            loop.begin_epoch(epoch, factors)

    def replay(self, steps: int) -> None:
        """Replay so many steps, and nothing else."""
        if self._branches is not None:
            for _ in range(steps):
                self._branches.replay()

    def run_epoch(self, epoch: int, factors: Sequence[float]) -> list[PendingSums]:
        """Train all of them on *epoch*."""
        branches = self._branches
        if branches is None:
            raise TypeError(self.reason)
        self.begin(epoch, factors)
        for index in range(len(factors)):
            for loop in branches.loops:
                loop.step.rates.set(index)
                loop.step.fetch(loop.step.source.batch_size)
            if all(loop.step.holds for loop in branches.loops):
                branches.step()
                continue
            for loop in branches.loops:
                loop.take_plain_step(loop.step.source.batch_size)
        return self.end()

    def end(self) -> list[PendingSums]:
        """Return the sums of the epoch of each."""
        return [loop.end_epoch() for loop in self._loops]

    @property
    def _loops(self) -> Sequence[LadderLoop]:
        return self._branches.loops if self._branches else ()


class PackRow:
    """So many runs side by side.

    Args:
        name: Of the row.
        material: What is trained.
        runs: How many.
        deterministic: Whether bits must repeat.
    """

    rung: Rung | None = None

    def __init__(self, name: str, material: Material, runs: int, *, deterministic: bool) -> None:
        self.name, self.members, self.deterministic = name, runs, deterministic
        self._material, self._trained = material, 1
        self._together = self._opened()
        self._evaluators = [evaluator_of(session) for session in self._together.sessions]
        self._pack: DrivenPack | None = None

    def prepare(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        rules, device = self._material.spec.protocol.rules, self._material.device
        configure(rules.precision, deterministic=self.deterministic, device=device)

    def train(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        self._trained += 1
        self._together.run_epoch(self._trained, [1.0] * self._material.steps)

    def epoch(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        if self._pack is None:
            self._pack = DrivenPack(self._material, self._together.sessions)
        self._pack.train()

    def bare(self) -> Turn:
        """See :class:`normbench.bench.contender.Contender`."""
        steps = self._material.steps

        def start() -> None:
            self.prepare()
            self._together.begin(1, [1.0] * steps)

        def work() -> None:
            self._together.replay(steps)
            for evaluator, session in zip(self._evaluators, self._together.sessions, strict=True):
                evaluator.evaluate(session.network)

        return Turn(work, start, self._together.end)

    def checks(self) -> Sequence[Check]:
        """See :class:`normbench.bench.contender.Contender`."""
        alone = (self._session(Rung.EAGER, number) for number in range(self.members))
        together = self._opened()
        found = as_each_alone(
            alone, together.sessions, together.run_epoch, exact=self.deterministic
        )
        return (found,)

    def fallen(self) -> str:
        """Return why the runs are not side by side; empty if they are."""
        if self._pack is not None and self._pack.alone and not self._together.reason:
            return "its runs do not hold side by side as a worker's pack: they took turns"
        return self._together.reason

    def close(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        if self._pack is not None:
            self._pack.close()

    def _opened(self) -> Together:
        return Together([self._session(Rung.GRAPH, number) for number in range(self.members)])

    def _session(self, rung: Rung, number: int) -> Session:
        seed = self._material.spec.seed + number
        return self._material.session(rung, deterministic=self.deterministic, seed=seed)


def pack_name(runs: int, *, deterministic: bool, said: bool) -> str:
    """Return the name of a row; *said* whether it tells if bits must repeat."""
    words = ", deterministic" if deterministic else ", not deterministic"
    return f"normbench pack of {runs}" + (words if said else "")
