"""What a run trains on and is evaluated on: the train part split, and the sources over it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import torch
from torch import nn

from normbench.augmentation import Augmentation
from normbench.data import Data, Part
from normbench.descriptions import Dataset
from normbench.engine.sources import (
    BatchSource,
    Evaluation,
    EvaluationSource,
    ImageSource,
    Order,
    TableSource,
    TokenEvaluation,
    TokenSource,
)
from normbench.engine.sources.processes import loader_processes
from normbench.engine.split import Indices, split_tail, split_train_part
from normbench.errors import UsageError
from normbench.layers import Stochastic
from normbench.rules import Rules
from normbench.specs import RunSpec
from normbench.streams import stream_seed

# A processor wants its activations in cache, a GPU wants to be full; large images fill it sooner.
EVALUATION_BATCH = {"cpu": 128, "cuda": 2000}
MOST_EVALUATED = 2500
EVALUATED_PIXELS = EVALUATION_BATCH["cuda"] * 32 * 32
FILE_EVALUATION_BATCH = {"cpu": 32, "cuda": 250}


def scaled(dataset: Dataset, scaling: str) -> Dataset:
    """Return *dataset* with the mean and standard deviation that *scaling* normalizes by."""
    if scaling == "statistics":
        return dataset
    channels = len(dataset.mean)
    mean, std = (0.5, 0.5) if scaling == "half" else (0.0, 1.0)
    return replace(dataset, mean=(mean,) * channels, std=(std,) * channels)


def split(spec: RunSpec, dataset: Dataset, train: Part) -> tuple[Indices, Indices]:
    """Return the indices (training, validation) of the official train part.

    The validation part of a text is its end, whatever the seed.
    """
    rules = spec.protocol.rules
    if dataset.content == "tokens":
        return split_tail(len(train), rules.validation_share)
    driver = spec if rules.validation_driven_by == "seed" else replace(spec, seed=0)
    return split_train_part(rules, driver.stream_root, train.targets, dataset.classes)


def training_source(
    spec: RunSpec, dataset: Dataset, train: Part, indices: Indices, device: torch.device
) -> BatchSource:
    """Return the source of training batches over the examples of *train* at *indices*.

    Raises:
        UsageError: If there are too few examples for a step.
    """
    source = _source(spec, dataset, train, indices, device)
    if source.steps < 1:
        size = spec.problem.training.batch_size
        window = f" streams of {dataset.shape[0]} tokens" if dataset.content == "tokens" else ""
        raise UsageError(
            f"problem.batch_size={size}{window} is larger than the training part "
            f"({len(indices)} examples), and protocol.drop_last leaves partial batches out. "
            "Give a smaller one."
        )
    return source


def _source(
    spec: RunSpec, dataset: Dataset, train: Part, indices: Indices, device: torch.device
) -> BatchSource:
    rules, training = spec.protocol.rules, spec.problem.training
    if dataset.content == "tokens":
        return TokenSource(train, indices, training.batch_size, dataset.shape[0], device)
    order = Order(indices, spec.stream_root, training.batch_size, rules)
    words = Augmentation.parse(training.augmentation if rules.augment else ())
    if dataset.content == "files":
        files = _files()
        source: BatchSource = files.FileSource(
            train,
            dataset,
            order,
            training.batch_size,
            words,
            device,
            processes=loader_processes(device),
        )
        return source
    if dataset.content == "images":
        return ImageSource(
            train, dataset, order, training.batch_size, words, device, crop_per=rules.crop_per
        )
    return TableSource(train, order, training.batch_size, device)


def evaluation_sources(
    spec: RunSpec,
    dataset: Dataset,
    data: Data,
    training: Indices,
    validation: Indices,
    network: nn.Module,
    device: torch.device,
) -> dict[str, EvaluationSource]:
    """Return what is evaluated, by name: validation, test, and train_subset if asked for."""
    rules = spec.protocol.rules
    chosen = {"validation": data.train.take(validation), "test": data.test}
    if rules.train_subset:
        subset = _train_subset(spec, dataset, training)
        chosen["train_subset"] = data.train.take(subset)
    return {
        name: _evaluation(spec, dataset, part, network, device)
        for name, part in chosen.items()
        if len(part)
    }


def _train_subset(spec: RunSpec, dataset: Dataset, training: Indices) -> Indices:
    count = min(spec.protocol.rules.train_subset, len(training))
    if dataset.content == "tokens":
        return training[:count]
    generator = np.random.default_rng(stream_seed(spec.stream_root, "train_subset"))
    return np.sort(generator.permutation(training)[:count])


def _evaluation(
    spec: RunSpec, dataset: Dataset, part: Part, network: nn.Module, device: torch.device
) -> EvaluationSource:
    if dataset.content == "tokens":
        return TokenEvaluation(part, dataset.shape[0], device)
    rules = spec.protocol.rules
    if dataset.content == "files":
        files = _files()
        size = rules.evaluation_batch_size or FILE_EVALUATION_BATCH[device.type]
        processes = loader_processes(device)
        source: EvaluationSource = files.FileEvaluation(
            part, dataset, size, device, processes=processes
        )
        return source
    size = evaluation_size(rules, network, dataset.shape, device.type)
    return Evaluation(part, dataset, size, device, shrink=_shrink(spec))


def _files() -> ModuleType:
    """Return the module that reads image files; nothing else needs Pillow."""
    try:
        from normbench.engine.sources import files
    except ImportError as error:
        raise UsageError(
            f"image files cannot be read here: {error}. Install Pillow, which comes with "
            "torchvision."
        ) from error
    return files


def evaluation_size(
    rules: Rules, network: nn.Module, shape: tuple[int, ...], device_type: str
) -> int:
    """Return how many examples are evaluated at once.

    Args:
        rules: The protocol's; what it asks for counts.
        network: Where layers draw noise in evaluation, batches are of one fixed size.
        shape: Of an example; of an image (height, width, channels).
        device_type: ``cpu`` or ``cuda``.
    """
    layers = (module for module in network.modules() if isinstance(module, Stochastic))
    if any(layer.in_evaluation for layer in layers):
        return EVALUATION_BATCH["cpu"]
    if rules.evaluation_batch_size:
        return rules.evaluation_batch_size
    if device_type == "cpu" or len(shape) != len(("height", "width", "channels")):
        return EVALUATION_BATCH[device_type]
    return max(1, min(MOST_EVALUATED, EVALUATED_PIXELS // (shape[0] * shape[1])))


def _shrink(spec: RunSpec) -> int:
    """Return the zeros around an image that is evaluated shrunk: as many as around a crop."""
    if spec.protocol.rules.evaluation_view == "plain":
        return 0
    return Augmentation.parse(spec.problem.training.augmentation).pad
