"""A pack: several runs trained by one process at once, each with the results that it has alone.

A run of a pack is an ordinary one; it has streams, optimizer, checkpoints and a ladder of its own.
It climbs that in its first epoch, by itself. From then on the runs whose whole steps are captured
and draw from no generator but their own are branches of one recording; the others take turns, an
epoch each. Neither changes a bit: all that an epoch draws is keyed by run and epoch.

When a run leaves, at the end of an epoch, the recording is made anew for those that stay. One that
diverges goes on computing until that is seen, which is at the end of its epoch or, where epochs are
read late, at the end of the next; nobody reads that, nor does it reach the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from normbench.engine.branches import Branches, record_branches
from normbench.engine.graph import LadderLoop
from normbench.engine.loop import PROGRESS_SECONDS, Loop
from normbench.engine.sums import PendingSums
from normbench.engine.trainer import Epoch
from normbench.errors import NormbenchError

_log = logging.getLogger("normbench.engine")


class PackBrokenError(NormbenchError):
    """The steps of all runs of a pack failed at once; which of them is to blame is unknown."""


@dataclass(eq=False)
class Member:
    """One run of a pack.

    Attributes:
        course: Yields each epoch that is to be trained, and returns what came of the run; see
            :meth:`normbench.engine.trainer.Trainer.course`.
        find_loop: Returns what trains it, once it has asked for an epoch.
        epoch: What it asked for; None before the first epoch and once it is over.
        outcome: What its course returned.
    """

    course: Generator[Epoch, PendingSums, Any]
    find_loop: Callable[[], Loop]
    epoch: Epoch | None = None
    outcome: Any = field(default=None, init=False)

    @property
    def steps(self) -> int:
        """Steps in the epoch that it asked for."""
        return len(self.epoch.factors) if self.epoch else 0

    def begin(self) -> None:
        """Let it prepare, up to its first epoch."""
        self._go_on(lambda: next(self.course))

    def train(self) -> None:
        """Train the epoch that it asked for by itself, as its loop does alone."""
        epoch = self.epoch
        if epoch is not None:
            self.guard(
                lambda: self.send(
                    self.find_loop().run_epoch(
                        epoch.number, epoch.factors, epoch.progress, epoch.observe
                    )
                )
            )

    def send(self, sums: PendingSums) -> None:
        """Hand it what it asked for, and let it ask for more."""
        self._go_on(lambda: self.course.send(sums))

    def guard(self, work: Callable[[], None]) -> None:
        """Do *work* of this run alone; if that fails, the run ends as its course says."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - its course tells what it is
            self.throw(error)

    def throw(self, error: Exception) -> None:
        """Let its course end the run, unless it has ended.

        Raises:
            Exception: If the course takes it for more than a matter of this run.
        """
        if self.epoch is None:
            raise error
        self._go_on(lambda: self.course.throw(error))

    def _go_on(self, move: Callable[[], Epoch]) -> None:
        self.epoch = None
        try:
            self.epoch = move()
        except StopIteration as end:
            self.outcome = end.value


class Pack:
    """Trains the epochs that the members ask for, until none asks for more.

    Args:
        members: The runs.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._side_by_side: Sequence[Member] = ()
        self._branches: Branches | None = None
        self._take_turns = False

    def run(self) -> None:
        """Train all members to their ends.

        Raises:
            Exception: What a course raises; the others are closed first.
        """
        try:
            for member in self._members:
                member.begin()
            while training := _training(self._members):
                together = self._together(training)
                self._train_branches(together)
                for member in training:
                    if member not in together:
                        member.train()
        finally:
            self._branches = None
            for member in self._members:
                member.course.close()

    def _together(self, training: Sequence[Member]) -> Sequence[Member]:
        """Return those that can be branches of one recording, if they are several."""
        if self._take_turns:
            return ()
        able = [each for each in training if can_branch(each.find_loop())]
        alike = [each for each in able if each.steps == able[0].steps]
        return alike if len(alike) > 1 else ()

    def _train_branches(self, members: Sequence[Member]) -> None:
        """Train an epoch of *members* side by side, or in turn if that does not hold."""
        for member in members:
            member.guard(partial(_begin, member))
        members, branches = _training(members), None
        with _blamed_on_none(members):
            branches = self._recorded(members) if len(members) > 1 else None
        if branches is not None:
            _take_steps(branches, members)
        for member in _training(members):
            if branches is None:
                member.train()
            else:
                member.guard(partial(_end, member))

    def _recorded(self, members: Sequence[Member]) -> Branches | None:
        """Return the recording of *members*, made anew unless they are those of the last one."""
        if self._branches is not None and list(members) == list(self._side_by_side):
            return self._branches
        loops = [_loop(member) for member in members]
        with _charged_to(loops):
            # Only now: the device may still have been at work on the last one.
            self._branches, self._side_by_side = None, members
            self._branches, reason = record_branches(loops, _whole_steps(members[0]))
        if self._branches is None:
            _log.warning("%d runs do not hold side by side: %s; taking turns", len(loops), reason)
            self._take_turns = True
        else:
            _log.info("%d runs side by side", len(loops))
        return self._branches


@contextmanager
def _charged_to(loops: Sequence[LadderLoop]) -> Iterator[None]:
    """Count what the block takes as spent on the engine by each of *loops*, which wait for it."""
    loops[0].recorder.wait()
    started = time.perf_counter()
    try:
        yield
    finally:
        loops[0].recorder.wait()
        for loop in loops:
            loop.engine_seconds += time.perf_counter() - started


def _take_steps(branches: Branches, members: Sequence[Member]) -> None:
    """Take all steps of the epoch that *members* have begun."""
    steps, whole, reported = members[0].steps, _whole_steps(members[0]), time.monotonic()
    for index in range(steps):
        if not _training(members):
            return
        if index:
            _of_each(members, partial(_fetch, index=index))
        if index < whole and all(_loop(each).step.holds for each in _training(members)):
            with _blamed_on_none(members):
                branches.step()
        else:
            _of_each(members, partial(_take_plain_step, index=index))
        _of_each(members, partial(_observe, index=index))
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            _of_each(members, partial(_report, done=index + 1))


@contextmanager
def _blamed_on_none(members: Sequence[Member]) -> Iterator[None]:
    """Tell all members of what fails in the block, since it is done for all at once."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - what a device reports is of no one class
        broken = PackBrokenError(f"{len(members)} runs side by side: {error}")
        for member in _training(members):
            member.throw(broken)


def _of_each(members: Sequence[Member], work: Callable[[Member], None]) -> None:
    """Do *work* of each member by itself; one that it fails for ends."""
    for member in _training(members):
        member.guard(partial(work, member))


def _begin(member: Member) -> None:
    if member.epoch is not None:
        _loop(member).begin_epoch(member.epoch.number, member.epoch.factors)
        _fetch(member, 0)


def _end(member: Member) -> None:
    member.send(_loop(member).end_epoch())


def _fetch(member: Member, index: int) -> None:
    step = _loop(member).step
    step.rates.set(index)
    step.fetch(_size(member, index))


def _take_plain_step(member: Member, index: int) -> None:
    _loop(member).take_plain_step(_size(member, index))


def _size(member: Member, index: int) -> int:
    """Return the examples in the batch of a step."""
    source = _loop(member).step.source
    return source.batch_size if index < _whole_steps(member) else source.last_size


def _observe(member: Member, index: int) -> None:
    if member.epoch is not None and member.epoch.observe is not None:
        member.epoch.observe(index)


def _report(member: Member, done: int) -> None:
    if member.epoch is not None:
        member.epoch.progress(done, member.steps)


def _whole_steps(member: Member) -> int:
    """Return the steps of the epoch whose batches are whole."""
    source = _loop(member).step.source
    return member.steps - (source.last_size != source.batch_size)


def _training(members: Sequence[Member]) -> Sequence[Member]:
    """Return those that ask for an epoch."""
    return [member for member in members if member.epoch is not None]


def can_branch(loop: Loop) -> bool:
    """Whether steps of *loop* can be a branch beside others; known once it has trained a little."""
    return isinstance(loop, LadderLoop) and loop.can_branch


def _loop(member: Member) -> LadderLoop:
    """Return the loop of a member that can branch."""
    return cast("LadderLoop", member.find_loop())
