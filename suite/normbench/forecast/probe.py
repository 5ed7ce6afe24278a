"""The probe: a few steps of one run, timed in a process of its own.

``python -m normbench.forecast.probe FILE PARENT`` reads from standard input what
:class:`normbench.forecast.probes.Prober` asks for and writes what it measured to FILE; it ends when
PARENT does. The session is the one that a worker would train, so what cannot be trained is found
here.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch

from normbench.descriptions import Dataset
from normbench.engine.evaluation import evaluate
from normbench.engine.precision import configure
from normbench.engine.session import Session, open_session
from normbench.engine.sources import EvaluationSource
from normbench.engine.trainer import peak_memory
from normbench.environment import hardware_name
from normbench.errors import NormbenchError
from normbench.forecast.probes import Measured
from normbench.plugins import load_catalogue
from normbench.specs import RunSpec
from normbench.tasks import Batch
from normbench.worker.orphans import watch_parent

WARM_STEPS = 2
LEAST_STEPS = 10
LEAST_SECONDS = 1.0
MOST_SECONDS = 10.0
Clock = Callable[[], float]


class _FirstBatch:
    """The first batch of a part."""

    from_host: ClassVar[bool] = False

    def __init__(self, part: EvaluationSource) -> None:
        self._batch = next(iter(part))
        self.examples = len(self._batch.targets)

    def __iter__(self) -> Iterator[Batch]:
        """Yield it."""
        yield self._batch


def measure(spec: RunSpec, plugins: list[Path], folder: Path, device: torch.device) -> Measured:
    """Train a few steps of *spec* and evaluate a batch of each part.

    Raises:
        NormbenchError: If it cannot be trained.
    """
    if device.type == "cpu":
        torch.set_num_threads(1)
    catalogue = load_catalogue(plugins)
    rules = spec.protocol.rules
    # Workers import what torch imports late once, and then train many runs.
    configure(rules.precision, deterministic=rules.deterministic, device=device)
    clock = _clock(catalogue.get(Dataset, spec.problem.dataset.name), device)
    session = open_session(spec, catalogue, folder, device)
    seconds, steps = _step_seconds(session, clock)
    refresh = _refresh_seconds(session, clock)
    return Measured(
        seconds_per_step=seconds,
        measured_steps=steps,
        steps_per_epoch=session.source.steps,
        seconds_per_evaluation=sum(
            _part_seconds(session, part, clock) for part in session.parts.values()
        ),
        seconds_per_refresh=refresh,
        peak_memory=peak_memory(device),
        checkpoint=_state_bytes(session),
        hardware=hardware_name(device),
        torch=torch.__version__,
    )


def _clock(dataset: Dataset, device: torch.device) -> Clock:
    """Return what times are read from.

    On a processor each run has a core of its own, so what others do on this machine meanwhile shall
    not count; image files are decoded by processes of their own, so there it must.
    """
    own = device.type == "cpu" and dataset.content != "files"
    return time.process_time if own else time.perf_counter


def _step_seconds(session: Session, clock: Clock) -> tuple[float, int]:
    """Return the mean seconds of a step, and over how many."""
    most = session.source.steps
    _train(session, min(WARM_STEPS, most), clock)
    one = max(_train(session, 1, clock), 1e-6)
    wanted = max(LEAST_STEPS, math.ceil(LEAST_SECONDS / one))
    affordable = max(2, math.floor(MOST_SECONDS / one))
    count = min(wanted, affordable, most)
    return _train(session, count, clock) / count, count


def _train(session: Session, steps: int, clock: Clock) -> float:
    """Train *steps* steps and return the seconds; at their end the device has caught up."""
    started = clock()
    session.loop.run_epoch(1, [1.0] * steps, lambda _done, _all: None).read()
    return clock() - started


def _refresh_seconds(session: Session, clock: Clock) -> float:
    if session.averaged is None:
        return 0.0
    started = clock()
    session.averaged.refresh()
    if session.device.type == "cuda":
        torch.cuda.synchronize(session.device)
    return clock() - started


def _part_seconds(session: Session, part: EvaluationSource, clock: Clock) -> float:
    """Return the seconds that evaluating all of *part* takes, from its first batch."""
    first = _FirstBatch(part)
    network = session.averaged.network if session.averaged else session.network
    session.randomness.start_evaluation()
    for _ in range(2):  # the first time memory is found
        started = clock()
        evaluate(
            network,
            session.task,
            first,
            precision=session.spec.protocol.rules.precision,
            device=session.device,
        )
        seconds = clock() - started
    return seconds * part.examples / first.examples


def _state_bytes(session: Session) -> int:
    tensors = [*session.network.parameters(), *session.network.buffers()]
    for state in session.optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def main(path: Path) -> int:
    """Measure what standard input asks for, write it to *path* and return the exit code."""
    request: dict[str, Any] = json.load(sys.stdin)
    try:
        measured = measure(
            RunSpec.from_json(request["spec"]),
            [Path(file) for file in request["plugins"]],
            Path(request["data_folder"]),
            torch.device(request["device"]),
        )
        content = {"outcome": "measured", "measured": asdict(measured)}
    except (MemoryError, torch.OutOfMemoryError) as error:
        content = {"outcome": "out_of_memory", "message": str(error) or "out of memory"}
    except NormbenchError as error:
        content = {"outcome": "failed", "message": str(error)}
    except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
        traceback.print_exc()
        content = {"outcome": "failed", "message": f"{type(error).__name__}: {error}"}
    path.write_text(json.dumps(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    # One thread a run, also in libraries that read this only when they load.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    watch_parent(int(sys.argv[2]), at_once=True)
    sys.exit(main(Path(sys.argv[1])))
