"""Rows of ``normbench bench``: the same work done by several loops, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from normbench.augmentation import Augmentation
from normbench.bench.baseline import PlainLoop, contiguous, loader, plain_optimizer
from normbench.bench.roof import clock, measure_roof, training_flops
from normbench.build import build_network
from normbench.data import Data, Part
from normbench.descriptions import Dataset, Problem
from normbench.engine.loop import evaluate
from normbench.engine.precision import forward_context
from normbench.engine.session import Session, assemble, build_optimizer
from normbench.environment import hardware_name
from normbench.errors import UsageError
from normbench.plugins import Catalogue
from normbench.rungs import Rung
from normbench.specs import RunSpec

Work = Callable[[], None]
EVALUATED = ("train_subset", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One way of doing the work.

    Attributes:
        name: What was measured.
        examples_per_second: Trained examples a second, median over the rounds.
        ratio: Speed over the first row of its table, median of the rounds.
        ratio_low: Smallest of the rounds.
        ratio_high: Largest of the rounds.
        roof_share: Share of the matrix rate measured in the same call; None where it says nothing.
    """

    name: str
    examples_per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float
    roof_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All tables of one call.

    Attributes:
        problem: What was trained.
        conditions: Hardware, versions, sizes, rounds.
        end_to_end: Training with evaluations: the plain loop, the engine.
        pipeline: Batches alone: the PIL chain, the one gather.
        harness: Training alone: the bare step, the engine's loop.
    """

    problem: str
    conditions: Mapping[str, Any]
    end_to_end: Sequence[BenchRow]
    pipeline: Sequence[BenchRow]
    harness: Sequence[BenchRow]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        return asdict(self)


def bench(
    spec: RunSpec,
    catalogue: Catalogue,
    data: Data,
    device: torch.device,
    *,
    examples: int = 2048,
    rounds: int = 5,
) -> BenchReport:
    """Measure *spec* on *data*, with *examples* trained on and a quarter evaluated three times.

    All rows of a table take turns within this process, so that drift of the machine hits them
    alike; times are the process's own on the processor and the wall's on a GPU.
    """
    spec = _with_evaluations(spec, examples)
    data = _trimmed(data, spec, examples)
    session = assemble(spec, catalogue, data, device, Rung.EAGER)
    plain = _Plain(spec, catalogue, data, device)
    trained = session.source.examples
    roof = measure_roof(device, spec.protocol.rules.precision)
    session.source.start_epoch(1)
    batch = session.source.batch(
        torch.zeros((), dtype=torch.int64, device=device), plain.batch_size
    )
    flops = training_flops(
        session.network, session.task, batch, spec.protocol.rules.precision, device
    )
    end_to_end = {"DeepOBS-shaped loop": plain.epoch, "normbench eager": lambda: _epoch(session)}
    pipeline = {"PIL chain": plain.batches, "one gather": lambda: _batches(session)}
    harness = {"bare step": lambda: _bare(session), "normbench eager": lambda: _train(session)}
    return BenchReport(
        problem=spec.problem.name,
        conditions=_conditions(spec, device, trained, rounds),
        end_to_end=_table(end_to_end, trained, rounds, device, flops / roof.flops),
        pipeline=_table(pipeline, trained, rounds, device),
        harness=_table(harness, trained, rounds, device, flops / roof.flops),
    )


def _table(
    works: Mapping[str, Work],
    trained: int,
    rounds: int,
    device: torch.device,
    roof_seconds: float | None = None,
) -> list[BenchRow]:
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = clock(device)
            work()
            seconds[name].append(clock(device) - started)
    first = next(iter(seconds.values()))
    rows = []
    for name, times in seconds.items():
        ratios = [base / own for base, own in zip(first, times, strict=True)]
        speed = trained / statistics.median(times)
        rows.append(
            BenchRow(
                name=name,
                examples_per_second=speed,
                ratio=statistics.median(ratios),
                ratio_low=min(ratios),
                ratio_high=max(ratios),
                roof_share=None if roof_seconds is None else speed * roof_seconds,
            )
        )
    return rows


class _Plain:
    """The DeepOBS-shaped loop on the same data."""

    def __init__(
        self, spec: RunSpec, catalogue: Catalogue, data: Data, device: torch.device
    ) -> None:
        dataset = catalogue.get(Dataset, spec.problem.dataset.name)
        built = build_network(spec, catalogue)
        contiguous(built.network.to(device))
        optimizer, description = build_optimizer(spec, built, catalogue)
        if description.needs_closure:
            raise UsageError(f"bench cannot time {description.name}: its step takes a closure.")
        decays = "weight_decay" in spec.optimizer.parameters
        decay = spec.optimizer.number("weight_decay") if decays else 0.0
        task = catalogue.get(Problem, spec.problem.name).load()()
        self._loop = PlainLoop(built, task, plain_optimizer(optimizer), decay, device)
        self.batch_size = spec.problem.training.batch_size
        training, held_out, augmentation = _parts(spec, data)
        self._training = loader(training, dataset, augmentation, self.batch_size)
        self._evaluated = [
            loader(part, dataset, None, self.batch_size)
            for part in (training.take(np.arange(len(data.test))), held_out, data.test)
        ]

    def epoch(self) -> None:
        """Train and evaluate once."""
        self._loop.epoch(self._training, self._evaluated)

    def batches(self) -> None:
        """Make every training batch and drop it."""
        for _ in self._training:
            pass


def _parts(spec: RunSpec, data: Data) -> tuple[Part, Part, Augmentation]:
    """Return training part, held-out part and augmentation, in the sizes the session uses."""
    words = spec.problem.training.augmentation if spec.protocol.rules.augment else ()
    count = round(len(data.train) * (1 - spec.protocol.rules.validation_share))
    index = np.arange(len(data.train))
    return data.train.take(index[:count]), data.train.take(index[count:]), Augmentation.parse(words)


def _epoch(session: Session) -> None:
    _train(session)
    session.randomness.start_evaluation()
    for name in EVALUATED:
        evaluate(
            session.network,
            session.task,
            session.parts[name],
            precision=session.spec.protocol.rules.precision,
            device=session.device,
        )


def _train(session: Session) -> None:
    session.loop.run_epoch(1, [1.0] * session.source.steps, lambda _done, _all: None)


def _bare(session: Session) -> None:
    """Do the same steps with nothing around them: no metrics, no schedule, no cursor."""
    session.source.start_epoch(1)
    session.network.train()
    size = session.source.batch_size
    cursors = torch.arange(session.source.steps, device=session.device) * size
    for cursor in cursors:
        session.optimizer.zero_grad(set_to_none=True)
        batch = session.source.batch(cursor, size)
        with forward_context(session.spec.protocol.rules.precision, session.device):
            loss = session.task(session.network, batch, {}).loss
        loss.backward()  # type: ignore[no-untyped-call]
        session.optimizer.step()


def _batches(session: Session) -> None:
    session.source.start_epoch(1)
    size = session.source.batch_size
    for cursor in torch.arange(session.source.steps, device=session.device) * size:
        session.source.batch(cursor, size)


def _with_evaluations(spec: RunSpec, examples: int) -> RunSpec:
    rules = replace(
        spec.protocol.rules, train_subset=examples // 4, validation_share=0.2, drop_last=True
    )
    return replace(spec, protocol=replace(spec.protocol, rules=rules))


def _trimmed(data: Data, spec: RunSpec, examples: int) -> Data:
    """Return the first examples of both parts: *examples* to train on, a quarter held out."""
    count = round(examples / (1 - spec.protocol.rules.validation_share))
    if count > len(data.train):
        count = len(data.train)
    test = min(examples // 4, len(data.test))
    return Data(data.train.take(np.arange(count)), data.test.take(np.arange(test)))


def _conditions(spec: RunSpec, device: torch.device, trained: int, rounds: int) -> dict[str, Any]:
    rules, training = spec.protocol.rules, spec.problem.training
    return {
        "hardware": hardware_name(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "norm": spec.norm_label,
        "optimizer": spec.optimizer_label,
        "precision": rules.precision if device.type == "cuda" else "fp32",
        "deterministic": rules.deterministic,
        "batch_size": training.batch_size,
        "augmentation": list(training.augmentation) if rules.augment else [],
        "examples_trained": trained,
        "rounds": rounds,
        "clock": "wall" if device.type == "cuda" else "process CPU time",
    }
