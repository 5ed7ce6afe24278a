"""Everything one run trains with, put together from its spec: data, network, task, optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from normbench.augmentation import Augmentation
from normbench.build import build_network
from normbench.data import Data, DataRequest, Part
from normbench.descriptions import Dataset, Optimizer, Problem
from normbench.engine.loop import EagerLoop, Loop, Randomness
from normbench.engine.precision import configure
from normbench.engine.sources import BatchSource, Evaluation, ImageSource, Order, TableSource
from normbench.engine.split import Indices, split_train_part
from normbench.errors import UsageError
from normbench.layers import Stochastic
from normbench.plugins import Catalogue
from normbench.roles import Built, parameter_groups
from normbench.rules import Rules
from normbench.specs import RunSpec
from normbench.streams import stream_seed
from normbench.tasks import Task

# A processor wants its activations in cache, a GPU wants to be full.
EVALUATION_BATCH = {"cpu": 128, "cuda": 2000}


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
    """

    spec: RunSpec
    built: Built
    task: Task
    optimizer: torch.optim.Optimizer
    source: BatchSource
    loop: Loop
    randomness: Randomness
    parts: Mapping[str, Evaluation]
    device: torch.device

    @property
    def network(self) -> nn.Module:
        """The network that trains."""
        return self.built.network


def open_session(
    spec: RunSpec, catalogue: Catalogue, data_folder: Path, device: torch.device
) -> Session:
    """Put together what *spec* asks for.

    Raises:
        DataError: If a data file is missing or corrupt.
        UsageError: If something in the spec does not fit together.
    """
    dataset = catalogue.get(Dataset, spec.problem.dataset.name)
    data = load_data(dataset, data_folder, tuple(spec.problem.dataset.parameters.items()))
    return assemble(spec, catalogue, data, device)


def assemble(spec: RunSpec, catalogue: Catalogue, data: Data, device: torch.device) -> Session:
    """Put together what *spec* asks for, on *data* that is already there.

    Raises:
        UsageError: If something in the spec does not fit together.
    """
    rules = spec.protocol.rules
    configure(rules.precision, deterministic=rules.deterministic, device=device)
    if device.type == "cuda":
        # The peak in a result is this run's, not that of the worker's earlier ones.
        torch.cuda.reset_peak_memory_stats(device)
    dataset = _scaled(catalogue.get(Dataset, spec.problem.dataset.name), rules.input_scaling)
    training, validation = _split(spec, dataset, data.train)
    built = build_network(spec, catalogue)
    built.network.to(device).to(memory_format=torch.channels_last)
    task: Task = catalogue.get(Problem, spec.problem.name).load()()
    optimizer, description = build_optimizer(spec, built, catalogue)
    source = _source(spec, dataset, data.train, training, device)
    randomness = Randomness(built.network, spec.stream_root, device)
    loop = EagerLoop(
        built.network,
        task,
        optimizer,
        source,
        randomness,
        precision=rules.precision,
        device=device,
        needs_closure=description.needs_closure,
    )
    size = _evaluation_size(rules, built.network, device)
    parts = _parts(spec, dataset, data, training, validation, size, device)
    return Session(spec, built, task, optimizer, source, loop, randomness, parts, device)


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


def _scaled(dataset: Dataset, scaling: str) -> Dataset:
    """Return *dataset* with the mean and standard deviation that *scaling* normalizes by."""
    if scaling == "statistics":
        return dataset
    channels = len(dataset.mean)
    mean, std = (0.5, 0.5) if scaling == "half" else (0.0, 1.0)
    return replace(dataset, mean=(mean,) * channels, std=(std,) * channels)


def _split(spec: RunSpec, dataset: Dataset, train: Part) -> tuple[Indices, Indices]:
    rules = spec.protocol.rules
    driver = spec if rules.validation_driven_by == "seed" else replace(spec, seed=0)
    return split_train_part(rules, driver.stream_root, train.targets, dataset.classes)


def _source(
    spec: RunSpec, dataset: Dataset, train: Part, indices: Indices, device: torch.device
) -> BatchSource:
    rules, training = spec.protocol.rules, spec.problem.training
    order = Order(indices, spec.stream_root, training.batch_size, rules)
    if order.examples < 1:
        raise UsageError(
            f"problem.batch_size={training.batch_size} is larger than the training part "
            f"({len(indices)} examples), and protocol.drop_last leaves partial batches out. "
            "Give a smaller one."
        )
    words = training.augmentation if rules.augment else ()
    if dataset.content == "images":
        augmentation = Augmentation.parse(words)
        return ImageSource(
            train,
            dataset,
            order,
            training.batch_size,
            augmentation,
            device,
            crop_per=rules.crop_per,
        )
    return TableSource(train, order, training.batch_size, device)


def _evaluation_size(rules: Rules, network: nn.Module, device: torch.device) -> int:
    layers = (module for module in network.modules() if isinstance(module, Stochastic))
    if any(layer.in_evaluation for layer in layers):
        return EVALUATION_BATCH["cpu"]
    return rules.evaluation_batch_size or EVALUATION_BATCH[device.type]


def _parts(
    spec: RunSpec,
    dataset: Dataset,
    data: Data,
    training: Indices,
    validation: Indices,
    size: int,
    device: torch.device,
) -> dict[str, Evaluation]:
    rules = spec.protocol.rules
    chosen = {"validation": data.train.take(validation), "test": data.test}
    if rules.train_subset:
        generator = np.random.default_rng(stream_seed(spec.stream_root, "train_subset"))
        count = min(rules.train_subset, len(training))
        subset = np.sort(generator.permutation(training)[:count])
        chosen["train_subset"] = data.train.take(subset)
    return {
        name: Evaluation(part, dataset, size, device, shrink=_shrink(spec))
        for name, part in chosen.items()
        if len(part)
    }


def _shrink(spec: RunSpec) -> int:
    """Return the zeros around an image that is evaluated shrunk: as many as around a crop."""
    if spec.protocol.rules.evaluation_view == "plain":
        return 0
    return Augmentation.parse(spec.problem.training.augmentation).pad
