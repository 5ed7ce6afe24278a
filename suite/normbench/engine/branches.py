"""Steps of several runs as branches of one recording, each to the bit what it is alone.

The branches share nothing but the device, so every kernel gets the numbers that it gets alone. That
is not taken for granted: before its first real step a recording must repeat what each run does by
itself, and all of that is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from normbench.engine.graph import TRIAL_STEPS, LadderLoop
from normbench.engine.recording import Work
from normbench.engine.trial import Captured, Trial, spoil
from normbench.errors import NormbenchError


@dataclass(frozen=True)
class Branches:
    """Several loops whose whole steps are recorded together.

    Attributes:
        loops: One for each branch.
        captured: What each branch is.
        replay: Takes one step of each.
    """

    loops: Sequence[LadderLoop]
    captured: Sequence[Captured]
    replay: Work

    def bind(self) -> None:
        """Put each branch's scores and gradients where its loop looks for them."""
        for loop, captured in zip(self.loops, self.captured, strict=True):
            loop.bind(captured)

    def step(self) -> None:
        """Take one step of each; all of them hold their states."""
        self.bind()
        self.replay()
        for loop in self.loops:
            loop.gradient_evaluations += 1


def record_branches(loops: Sequence[LadderLoop], steps: int) -> tuple[Branches | None, str]:
    """Return the steps of *loops* as branches if they hold, else None and the reason.

    The epoch has begun for all of them, and is where it was afterwards.

    Args:
        loops: They all can branch.
        steps: Whole batches left in the epoch.
    """
    with ExitStack() as states:
        for loop in loops:
            states.enter_context(loop.step.held_state())
        return _tried(loops, min(TRIAL_STEPS, steps))


def _tried(loops: Sequence[LadderLoop], steps: int) -> tuple[Branches | None, str]:
    trials = [loop.try_steps(steps) for loop in loops]
    try:
        branches = _recorded(loops, trials)
        reason = _disagreement(branches, trials)
    except NormbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - any layer and any optimizer is in there
        words = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {words[0]}"
    finally:
        _undo(loops, trials)
    return (None, reason) if reason else (branches, "")


def _recorded(loops: Sequence[LadderLoop], trials: Sequence[Trial]) -> Branches:
    generators = [generator for loop in loops for generator in loop.generators]
    replay = loops[0].recorder.capture_branches([loop.work() for loop in loops], generators)
    captured = [loop.recorded(replay) for loop in loops]
    _undo(loops, trials)
    return Branches(loops, captured, replay)


def _disagreement(branches: Branches, trials: Sequence[Trial]) -> str:
    """Return how one of the branches differs from what its run does alone; empty if none does."""
    branches.bind()
    for captured in branches.captured:
        spoil(captured)
    firsts: list[dict[str, Tensor]] = []
    for _ in range(trials[0].steps):
        branches.replay()
        firsts = firsts or [loop.first() for loop in branches.loops]
    found = (
        _of_one(*each, index)
        for index, each in enumerate(zip(branches.loops, trials, firsts, strict=True))
    )
    return next(filter(None, found), "")


def _of_one(loop: LadderLoop, trial: Trial, first: Mapping[str, Tensor], index: int) -> str:
    moved = {**first, "movement": trial.snapshot.movement()}
    reason = loop.disagreement(trial, moved)
    return f"run {index + 1}: {reason}" if reason else ""


def _undo(loops: Sequence[LadderLoop], trials: Sequence[Trial]) -> None:
    for loop, trial in zip(loops, trials, strict=True):
        loop.undo(trial)
