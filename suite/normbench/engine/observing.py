"""Showing observers the network at their moments, and keeping what they return.

An observation changes nothing that the run computes with: observers are shown copies, draw from
streams of their own, and torch's global random state is put back behind them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from normbench.cadence import Cadence, own_parameters
from normbench.descriptions import Observer
from normbench.engine.measured import as_numpy, check_arrays, finite
from normbench.engine.precision import forward_context
from normbench.engine.session import Session
from normbench.errors import NormbenchError, PluginError
from normbench.observers import Probe, View
from normbench.plugins import Catalogue
from normbench.schedules import epoch_factors
from normbench.series import RESERVED, Moments
from normbench.specs import ComponentSpec
from normbench.streams import stream_seed
from normbench.tasks import Batch

Arrays = dict[str, NDArray[Any]]


class SeriesSink(Protocol):
    """Where the moments of an epoch go as soon as it ends."""

    def moments(self, observer: str, epoch: int, moments: Moments) -> None:
        """Take what *observer* saw in *epoch*."""
        ...


@dataclass
class Watch:
    """One observer in one run.

    Attributes:
        spec: What was asked for.
        description: Says which arrays it returns.
        probe: The observer at work.
        cadence: When it looks.
        batch: Returns what it is shown, made when it is first asked for.
        kept: What it saw up to the last epoch that ended.
        fresh: What it has seen since.
        lengths: Length of each named dimension, once it is known.
    """

    spec: ComponentSpec
    description: Observer
    probe: Probe
    cadence: Cadence
    batch: Callable[[], Batch]
    kept: Moments = field(default_factory=Moments)
    fresh: Moments = field(default_factory=Moments)
    lengths: dict[str, int] = field(default_factory=dict)


def watch(session: Session, catalogue: Catalogue, observer: ComponentSpec) -> Watch:
    """Return *observer* at work in the run of *session*.

    Raises:
        UsageError: If no plugin offers it.
    """
    description = catalogue.get(Observer, observer.name)
    if taken := RESERVED & {measure.name for measure in description.measures}:
        raise PluginError(
            f"observer {observer.name!r} describes an array {min(taken)!r}, a name that every "
            "series has of its own. Rename it."
        )
    return Watch(
        spec=observer,
        description=description,
        probe=description.load()(**own_parameters(observer)),
        cadence=Cadence.of(observer, epoch_steps=session.source.steps, epochs=session.spec.epochs),
        batch=cache(partial(session.probe_batch, _batch_size(observer, session))),
    )


def _batch_size(observer: ComponentSpec, session: Session) -> int:
    """Return how many examples *observer* is shown."""
    if observer.parameters["batch_size"] is not None:
        return int(observer.number("batch_size"))
    # A moment then costs about as much as one or two steps, whatever the problem.
    return min(128, max(32, session.spec.problem.training.batch_size))


class Observing:
    """Runs the observers of one run.

    Args:
        session: The run.
        watches: Its observers; none by default.
        sink: Gets the moments of each epoch.

    Attributes:
        epoch_seconds: What observing took since the last epoch ended.
    """

    def __init__(
        self, session: Session, watches: Sequence[Watch] = (), sink: SeriesSink | None = None
    ) -> None:
        self.watches = watches
        self.epoch_seconds = 0.0
        self._session, self._sink = session, sink
        self._steps, self._epoch = session.source.steps, 0
        # Taken before any checkpoint is restored: later the schedule has changed them.
        self._rates = [float(group["lr"]) for group in session.optimizer.param_groups]

    @property
    def seconds(self) -> float:
        """What observing took in all epochs that ended."""
        return sum(watch.kept.seconds for watch in self.watches)

    def states(self) -> dict[str, dict[str, Tensor]]:
        """Return what observers remember between moments, for a checkpoint."""
        return {
            watch.spec.name: watch.probe.state_dict()
            for watch in self.watches
            if hasattr(watch.probe, "state_dict")
        }

    def load_states(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Give observers back what they remembered at a checkpoint."""
        for watch in self.watches:
            if watch.spec.name in states:
                watch.probe.load_state_dict(states[watch.spec.name])  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Observe the network before the first step."""
        self._observe_step(0)
        self.end_epoch()

    def start_epoch(self, epoch: int) -> Callable[[int], None] | None:
        """Return what to call with the index of each step just done; None if nobody looks."""
        if not self.watches:
            return None
        self._epoch = epoch
        return self._after_step

    def end_epoch(self, bad_step: int | None = None) -> None:
        """Keep what was seen in the epoch; if it diverged, what was seen before *bad_step*.

        Args:
            bad_step: The first bad step of the run, counted from 1.
        """
        for watch in self.watches:
            fresh = watch.fresh if bad_step is None else watch.fresh.until(bad_step - 1)
            watch.kept.extend(fresh)
            watch.fresh = Moments()
            if fresh.steps and self._sink is not None:
                self._sink.moments(watch.spec.name, self._epoch, fresh)
        self.epoch_seconds = 0.0

    def _after_step(self, index: int) -> None:
        self._observe_step((self._epoch - 1) * self._steps + index + 1)

    def _observe_step(self, step: int) -> None:
        due = [watch for watch in self.watches if watch.cadence.is_due(step)]
        # A diverged network may break any observer, and nothing of it is kept.
        if not due or not finite(self._session.network.parameters()):
            return
        self._wait()
        for watch in due:
            started = time.perf_counter()
            arrays = self._observed(watch, step)
            self._wait()
            seconds = time.perf_counter() - started
            watch.fresh.add(step, step / self._steps, arrays, watch.description.measures, seconds)
            self.epoch_seconds += seconds

    def _observed(self, watch: Watch, step: int) -> Arrays:
        """Show the network to one observer and return its arrays, checked."""
        seed = stream_seed(self._session.spec.stream_root, "probe", step)
        with self._aside(seed):
            try:
                returned = watch.probe.observe(self._view(watch, step, seed))
                arrays = {name: as_numpy(value) for name, value in returned.items()}
            except (NormbenchError, MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                raise PluginError(
                    f"observer {watch.spec.name!r} failed at step {step}: {type(error).__name__}: "
                    f"{error}. Repair it, or leave it out."
                ) from error
        check_arrays(watch.description, arrays, watch.lengths)
        return arrays

    def _view(self, watch: Watch, step: int, seed: int) -> View:
        session = self._session
        return View(
            epoch=step / self._steps,
            step=step,
            built=session.built,
            task=session.task,
            batch=watch.batch,
            device=session.device,
            optimizer=session.optimizer,
            learning_rates=self._rates,
            learning_rate_factor=self._factor(step),
            precision=forward_context(session.spec.protocol.rules.precision, session.device),
            seed=seed,
        )

    def _factor(self, step: int) -> float:
        """Return the schedule's factor in the step just done; before the first one, in that."""
        spec = self._session.spec
        epoch, index = divmod(max(step - 1, 0), self._steps)
        return epoch_factors(spec.protocol.rules, epoch + 1, spec.epochs, self._steps)[index]

    @contextmanager
    def _aside(self, seed: int) -> Iterator[None]:
        """Give the block random numbers of its own, also from torch's global generators."""
        device = self._session.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(seed)
            yield

    def _wait(self) -> None:
        """Let the device finish, so that what is timed is the observation alone."""
        if self._session.device.type == "cuda":
            torch.cuda.synchronize(self._session.device)
