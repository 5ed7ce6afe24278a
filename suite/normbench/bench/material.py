"""What all rows of ``normbench bench`` train with: one spec, one choice of examples, one device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from normbench.augmentation import Augmentation
from normbench.bench.journal import Journal
from normbench.build import build_network
from normbench.data import Data, Part
from normbench.descriptions import Dataset, Optimizer, Problem
from normbench.engine.session import Session, assemble, build_optimizer
from normbench.environment import environment
from normbench.errors import UsageError
from normbench.plugins import Catalogue
from normbench.roles import Built
from normbench.specs import RunSpec
from normbench.tasks import Task

CUDA_STEPS = 200
"""Steps that a turn on a GPU has at least; it repeats the epoch where that has fewer."""
EPOCHS = 10**6
"""More than any call takes: the engine's rows are runs that go on until they are left."""
VALIDATION_SHARE = 0.2
EVALUATED_SHARE = 4


@dataclass(frozen=True)
class Material:
    """What is trained, on which examples, where.

    Attributes:
        spec: The run, with three evaluations of a quarter of the examples trained on.
        catalogue: What the plugins offer.
        data: No more than is used.
        device: Where everything lies.
        journal: Where rows write a line an epoch.
    """

    spec: RunSpec
    catalogue: Catalogue
    data: Data
    device: torch.device
    journal: Journal

    @property
    def dataset(self) -> Dataset:
        """What the examples are."""
        return self.catalogue.get(Dataset, self.spec.problem.dataset.name)

    @property
    def batch_size(self) -> int:
        """Of training."""
        return self.spec.problem.training.batch_size

    @property
    def steps(self) -> int:
        """Of one epoch."""
        return len(self.parts["training"]) // self.batch_size

    @property
    def repeats(self) -> int:
        """Epochs of a turn."""
        return math.ceil(CUDA_STEPS / self.steps) if self.device.type == "cuda" else 1

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions and hardware, as each attempt at a run records them."""
        return environment(self.device, self.catalogue)

    @property
    def trained(self) -> int:
        """Examples trained on in one epoch."""
        return self.steps * self.batch_size

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """Parts for loops that split nothing themselves, in the sizes of the engine's."""
        train, test = self.data.train, self.data.test
        count = round(len(train) * (1 - VALIDATION_SHARE))
        index = np.arange(len(train))
        training = train.take(index[:count])
        return {
            "training": training,
            "train_subset": training.take(np.arange(len(test))),
            "validation": train.take(index[count:]),
            "test": test,
        }

    @property
    def augmentation(self) -> Augmentation:
        """The problem's, if the protocol applies it."""
        rules = self.spec.protocol.rules
        return Augmentation.parse(self.spec.problem.training.augmentation if rules.augment else ())

    def session(self, engine: str, *, deterministic: bool, seed: int | None = None) -> Session:
        """Return a new session of the spec, at its seed or another."""
        rules = replace(self.spec.protocol.rules, deterministic=deterministic)
        protocol = replace(self.spec.protocol, rules=rules)
        spec = replace(self.spec, protocol=protocol, seed=self.spec.seed if seed is None else seed)
        return assemble(spec, self.catalogue, self.data, self.device, engine)

    def built(self) -> tuple[Built, Task, torch.optim.Optimizer]:
        """Return a new network on the device, its task, and the optimizer over it."""
        built = build_network(self.spec, self.catalogue)
        built.network.to(self.device)
        optimizer, _ = build_optimizer(self.spec, built, self.catalogue)
        task = self.catalogue.get(Problem, self.spec.problem.name).load()()
        return built, task, optimizer


def gather(
    spec: RunSpec,
    catalogue: Catalogue,
    data: Data,
    device: torch.device,
    examples: int,
    journal: Journal,
) -> Material:
    """Return what *spec* trains with on *examples* of *data*, or on all where there are fewer.

    Raises:
        UsageError: If there is no full batch among them, or no loop here can train it.
    """
    if catalogue.get(Optimizer, spec.optimizer.name).needs_closure:
        raise UsageError(f"bench cannot time {spec.optimizer.name}: its step takes a closure.")
    size = spec.problem.training.batch_size
    held = min(round(examples / (1 - VALIDATION_SHARE)), len(data.train))
    if round(held * (1 - VALIDATION_SHARE)) < size:
        raise UsageError(
            f"--examples {examples}: a batch of {spec.problem.name} has {size}, so no step can be "
            f"timed. Give at least {size}, or a smaller problem.batch_size."
        )
    evaluated = examples // EVALUATED_SHARE
    rules = replace(
        spec.protocol.rules,
        train_subset=min(evaluated, len(data.test)),
        validation_share=VALIDATION_SHARE,
        validation_leak=False,
        drop_last=True,
        epochs=EPOCHS,
        epoch_share=1.0,
        evaluate_every=1,
    )
    spec = replace(spec, protocol=replace(spec.protocol, rules=rules))
    used = Data(
        data.train.take(np.arange(held)), data.test.take(np.arange(min(evaluated, len(data.test))))
    )
    return Material(spec, catalogue, used, device, journal)
