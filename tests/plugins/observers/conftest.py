"""Networks to look at: small, or real ones on random images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from normbench import Data, Dataset, Part
from normbench.cadence import asked_observers
from normbench.engine.observing import Observing, watch
from normbench.engine.session import Session, assemble
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.series import Moments

CATALOGUE = load_catalogue()


class Ignore:
    """A sink that keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture(scope="session")
def session() -> Callable[..., Session]:
    """Return sessions of problems on a few random images."""

    def opened(problem: str, optimizer: str = "sgd", words: Any = (), **request: Any) -> Session:
        request = Request(
            problem=problem,
            optimizer=optimizer,
            words=["problem.batch_size=8", "protocol.epochs=1", *words],
            seeds=[0],
            **request,
        )
        spec = resolve(request, CATALOGUE)[0]
        dataset = CATALOGUE.get(Dataset, spec.problem.dataset.name)
        generator = np.random.default_rng(0)
        inputs = generator.integers(0, 256, (40, *dataset.shape), dtype=np.uint8)
        if dataset.content == "table":
            inputs = generator.random((40, *dataset.shape), dtype=np.float32)
        targets = np.arange(40, dtype=np.int64) % max(dataset.classes, 1)
        data = Data(Part(inputs, targets), Part(inputs[:8], targets[:8]))
        return assemble(spec, CATALOGUE, data, torch.device("cpu"))

    return opened


@pytest.fixture(scope="session")
def observe(session: Callable[..., Session]) -> Callable[..., Moments]:
    """Train a problem under an observer and return what it saw; or look at it untrained."""

    def seen(observer: str, *arguments: Any, train: bool = True, **request: Any) -> Moments:
        opened = session(*arguments, **request)
        (spec,) = asked_observers([observer], CATALOGUE)
        observing = Observing(opened, [watch(opened, CATALOGUE, spec)])
        if train:
            Trainer(opened, Ignore(), observing=observing).run()
        else:
            observing.begin()
        return observing.watches[0].kept

    return seen
