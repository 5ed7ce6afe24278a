"""Evaluating a network on whole parts, with sums that stay on the device.

Where training steps are captured, so is the evaluation: all batches of all parts, the smaller last
ones included, are one recording. Steps that could be captured have shown that nothing but tensors
changes; and the recording must repeat a plain evaluation before it stands in for one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from normbench.engine.precision import forward_context
from normbench.engine.recording import Recorder, Work
from normbench.engine.session import Session
from normbench.engine.sources import EvaluationSource
from normbench.engine.sums import PendingMetrics
from normbench.errors import NormbenchError
from normbench.tasks import State, Task

# A recording of more than that would cost more memory and time than it saves.
MOST_BATCHES = 200
TOLERANCE = 1e-3
_log = logging.getLogger("normbench.engine")


class Evaluator:
    """Evaluates networks on all parts of a session.

    Args:
        session: Gives task, parts and random streams.
        recorder: Records an evaluation; None if nothing can on this device.

    Attributes:
        engine_seconds: Spent on recording and its trial.
    """

    def __init__(self, session: Session, recorder: Recorder | None = None) -> None:
        self.engine_seconds = 0.0
        self._session, self._recorder = session, recorder
        self._sums: dict[str, Tensor] = {}
        self._replay: Work | None = None
        self._addresses: list[int] = []

    def evaluate(self, network: nn.Module) -> PendingMetrics:
        """Evaluate *network*; nothing waits for the device, nor changes for training."""
        session = self._session
        network.eval()
        if self._replay is not None and self._addresses != _addresses(network):
            self._fall_back("weights or buffers have moved")
        session.randomness.start_evaluation()
        if self._replay is not None:
            self._replay()
        else:
            batches = self._evaluate_plainly(network)
            if self._recorder is not None and session.loop.captured:
                self._try_recording(self._recorder, network, batches)
        examples = {name: part.examples for name, part in session.parts.items()}
        return PendingMetrics(session.task.metrics, examples, self._sums)

    def _evaluate_plainly(self, network: nn.Module) -> int:
        """Add up the sums of all parts; return the number of batches."""
        session, batches = self._session, 0
        for name, part in session.parts.items():
            if name not in self._sums:
                self._sums[name] = empty_sums(session.task, session.device)
            batches += add_up(
                network,
                session.task,
                part,
                self._sums[name],
                precision=session.spec.protocol.rules.precision,
            )
        return batches

    def _try_recording(self, recorder: Recorder, network: nn.Module, batches: int) -> None:
        """Record the evaluation just made, for those to come."""
        recorder.wait()
        started = time.perf_counter()
        found = {name: sums.clone() for name, sums in self._sums.items()}
        reason = self._obstacle(batches) or self._recorded(recorder, network, found)
        if reason:
            self._fall_back(reason)
        for name, sums in self._sums.items():
            sums.copy_(found[name])
        recorder.wait()
        self.engine_seconds += time.perf_counter() - started

    def _obstacle(self, batches: int) -> str:
        if any(part.from_host for part in self._session.parts.values()):
            return "batches come from the host"
        return f"it has {batches} batches" if batches > MOST_BATCHES else ""

    def _recorded(self, recorder: Recorder, network: nn.Module, found: Mapping[str, Tensor]) -> str:
        """Record an evaluation; return why it does not hold, or nothing."""
        start = self._session.randomness.start_evaluation
        try:
            start()
            with recorder.beside():
                self._evaluate_plainly(network)
            start()
            replay = recorder.capture(lambda: _ignore(self._evaluate_plainly(network)))
            for sums in self._sums.values():
                sums.fill_(-1)
            start()
            replay()
            same = self._agrees(found)
        except NormbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - any network and any task is in there
            words = str(error).strip().splitlines() or [""]
            return f"{type(error).__name__}: {words[0]}"
        if not same:
            return "its sums differ from those of a plain one"
        self._replay, self._addresses = replay, _addresses(network)
        return ""

    def _agrees(self, found: Mapping[str, Tensor]) -> bool:
        tolerance = 0.0 if self._session.spec.protocol.rules.deterministic else TOLERANCE
        return all(
            torch.allclose(sums, found[name], rtol=tolerance, atol=0, equal_nan=True)
            for name, sums in self._sums.items()
        )

    def _fall_back(self, reason: str) -> None:
        _log.warning("evaluation is not captured: %s; going on with plain ones", reason)
        self._replay = self._recorder = None


@torch.no_grad()
def add_up(
    network: nn.Module, task: Task, part: EvaluationSource, sums: Tensor, *, precision: str
) -> int:
    """Set *sums* to those of *network*, in evaluation mode, over all of *part*.

    Returns:
        The number of batches.
    """
    sums.zero_()
    state: State = {}
    batches = 0
    for batch in part:
        with forward_context(precision, sums.device):
            start = state or task.initial_state(len(batch.inputs), sums.device)
            scores = task(network, batch, start)
        sums += scores.sums
        state = scores.state
        batches += 1
    return batches


def empty_sums(task: Task, device: torch.device) -> Tensor:
    """Return a place for the sums of one part."""
    return torch.zeros(len(task.metrics), dtype=torch.float64, device=device)


def evaluate(
    network: nn.Module,
    task: Task,
    part: EvaluationSource,
    *,
    precision: str,
    device: torch.device,
) -> dict[str, float]:
    """Return the task's metrics over all of *part*, in evaluation mode, from exact sums.

    Buffers and training's random streams are left alone. Waits for the device.
    """
    network.eval()
    sums = empty_sums(task, device)
    add_up(network, task, part, sums, precision=precision)
    return PendingMetrics(task.metrics, {"": part.examples}, {"": sums}).read()[""]


def _addresses(network: nn.Module) -> list[int]:
    return [id(network), *(tensor.data_ptr() for tensor in network.state_dict().values())]


def _ignore(_: object) -> None:
    """Drop a value where work returns none."""
