"""Everything one run trains with, put together from its spec: data, network, task, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normbench.build import build_network
from normbench.data import Data, DataRequest
from normbench.descriptions import Dataset, Optimizer, Problem
from normbench.engine import feeding
from normbench.engine.averaging import AveragedWeights
from normbench.engine.ladder import choose_loop, choose_rates
from normbench.engine.loop import Loop
from normbench.engine.precision import configure
from normbench.engine.probe_batch import probe_batch
from normbench.engine.randomness import Randomness
from normbench.engine.sources import BatchSource, EvaluationSource
from normbench.engine.step import Step
from normbench.errors import UsageError
from normbench.plugins import Catalogue
from normbench.roles import Built, parameter_groups
from normbench.rungs import AUTO
from normbench.specs import RunSpec
from normbench.tasks import Batch, Task


@dataclass
class Session:
    """One run, ready to train.

    Attributes:
        spec: What it is.
        built: Network, sites and roles, on the device.
        task: Loss and metrics.
        optimizer: With its parameter groups.
        loop: The rung that trains.
        randomness: Streams of the layers.
        parts: What is evaluated, by name: validation, test, and train_subset if asked for.
        device: Where it runs.
        probe_batch: Returns the training batch of a given size that observers are shown.
        averaged: The copy of the network that is judged, if the optimizer averages weights.
    """

    spec: RunSpec
    built: Built
    task: Task
    optimizer: torch.optim.Optimizer
    source: BatchSource
    loop: Loop
    randomness: Randomness
    parts: Mapping[str, EvaluationSource]
    device: torch.device
    probe_batch: Callable[[int], Batch]
    averaged: AveragedWeights | None = None

    @property
    def network(self) -> nn.Module:
        """The network that trains."""
        return self.built.network


def open_session(
    spec: RunSpec,
    catalogue: Catalogue,
    data_folder: Path,
    device: torch.device,
    engine: str = AUTO,
) -> Session:
    """Put together what *spec* asks for, to be trained on *device* by *engine*.

    Raises:
        DataError: If a data file is missing or corrupt.
        UsageError: If something in the spec does not fit together.
    """
    dataset = catalogue.get(Dataset, spec.problem.dataset.name)
    data = load_data(dataset, data_folder, tuple(spec.problem.dataset.parameters.items()))
    return assemble(spec, catalogue, data, device, engine)


def assemble(
    spec: RunSpec, catalogue: Catalogue, data: Data, device: torch.device, engine: str = AUTO
) -> Session:
    """Put together what *spec* asks for, on *data* that is already there.

    Raises:
        UsageError: If something in the spec does not fit together.
    """
    rules = spec.protocol.rules
    configure(rules.precision, deterministic=rules.deterministic, device=device)
    if device.type == "cuda":
        # The peak in a result is this run's, not that of the worker's earlier ones.
        torch.cuda.reset_peak_memory_stats(device)
    described = catalogue.get(Dataset, spec.problem.dataset.name)
    dataset = feeding.scaled(described, rules.input_scaling)
    training, validation = feeding.split(spec, dataset, data.train)
    built = build_network(spec, catalogue)
    built.network.to(device).to(memory_format=torch.channels_last)
    task: Task = catalogue.get(Problem, spec.problem.name).load()()
    optimizer, description = build_optimizer(spec, built, catalogue)
    source = feeding.training_source(spec, dataset, data.train, training, device)
    randomness = Randomness(built.network, spec.stream_root, device)
    step = Step(
        built.network,
        task,
        optimizer,
        source,
        choose_rates(optimizer, description, source.steps, device),
        precision=rules.precision,
        device=device,
    )
    loop = choose_loop(
        engine, step, randomness, description, rules, device, steps=spec.epochs * source.steps
    )
    parts = feeding.evaluation_sources(
        spec, dataset, data, training, validation, built.network, device
    )
    shown = partial(probe_batch, spec, dataset, data.train, training, device)
    session = Session(spec, built, task, optimizer, source, loop, randomness, parts, device, shown)
    if description.averages_weights:
        session.averaged = AveragedWeights(
            built.network,
            task,
            optimizer,
            source,
            seed=spec.stream_root,
            precision=rules.precision,
            device=device,
        )
    return session


@lru_cache(maxsize=1)
def load_data(dataset: Dataset, folder: Path, parameters: tuple[tuple[str, Any], ...] = ()) -> Data:
    """Read a dataset from *folder*; a worker keeps the last one for its next run."""
    data: Data = dataset.load()(DataRequest(folder), **dict(parameters))
    return data


def build_optimizer(
    spec: RunSpec, built: Built, catalogue: Catalogue
) -> tuple[torch.optim.Optimizer, Optimizer]:
    """Return the optimizer over the network's parameter groups, and its description."""
    description = catalogue.get(Optimizer, spec.optimizer.name)
    values = {**spec.optimizer.parameters, "lr": spec.learning_rate}
    groups = parameter_groups(
        built.parameters,
        lr=spec.learning_rate,
        weight_decay=spec.optimizer.number("weight_decay") if "weight_decay" in values else None,
        ablation=spec.ablation,
        decayed=spec.protocol.rules.decayed_roles,
    )
    if not groups:
        raise UsageError(
            f"nothing trains: ablation {spec.ablation.train} fixes every parameter of problem "
            f"{spec.problem.name}. Use another --ablation."
        )
    return description.load()(groups, **values), description
