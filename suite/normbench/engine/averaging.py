"""Evaluating averaged weights, in a copy of the network whose statistics are estimated anew.

An optimizer that averages weights trains at one point and is judged at another. Statistics that
norms gather while training belong to the first. So the averages go into a copy of the network,
which sees some augmented training batches to gather statistics of its own. Weights, buffers and
random streams of training stay as they are, to the bit.

The score is that of the copy, and so are the hash of the final weights and the weights kept with
``--keep-weights``; checkpoints hold what training goes on from. Before training there is nothing
to average, and the network itself is evaluated.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normbench.engine.precision import forward_context
from normbench.engine.randomness import Randomness
from normbench.engine.sources import BatchSource
from normbench.errors import PluginError
from normbench.tasks import Task

BATCHES = 50
"""Training batches that statistics are estimated from, or an epoch's if it has fewer."""

STREAM = -1
"""The epoch whose order, augmentation and dropout they have: none that training reaches."""


class AveragedWeights:
    """An eval-only copy of a network that holds an optimizer's averages.

    Args:
        network: The network that trains; not in use yet.
        task: Its task.
        optimizer: One with ``train()`` and ``eval()``; it is put in training mode.
        source: The training batches; between epochs they are free for this.
        seed: Drives the run's random streams.
        precision: The protocol's.
        device: Where it runs.

    Attributes:
        network: The copy.

    Raises:
        PluginError: If the optimizer has no such methods.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        source: BatchSource,
        *,
        seed: int,
        precision: str,
        device: torch.device,
    ) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._training_network, self._task, self._source = network, task, source
        self._optimizer = _switchable(optimizer)
        self._randomness = Randomness(self.network, seed, device)
        self._precision, self._device = precision, device
        self._optimizer.train()

    def refresh(self) -> None:
        """Take over the current averages, and estimate the statistics that go with them."""
        self._copy_averages()
        if any(True for _ in self.network.buffers()):
            self._estimate_statistics()
        self._randomness.start_evaluation()

    @torch.no_grad()
    def _copy_averages(self) -> None:
        parameters = list(self._training_network.parameters())
        kept = [parameter.clone() for parameter in parameters]
        self._optimizer.eval()
        _copy(self.network.parameters(), parameters)
        self._optimizer.train()
        # There and back may cost an optimizer the last bits.
        _copy(parameters, kept)
        _copy(self.network.buffers(), self._training_network.buffers())

    @torch.no_grad()
    def _estimate_statistics(self) -> None:
        """Pass training batches through the copy, in training mode.

        In pass k the share of the batch in running statistics, a module's ``momentum``, is 1/k:
        they become the mean over all batches. Statistics without a momentum follow their own rule.
        """
        self._source.start_epoch(STREAM)
        self._randomness.start_epoch(STREAM)
        self.network.train()
        steps, size = self._source.steps, self._source.batch_size
        state = self._task.initial_state(size, self._device)
        cursor = torch.zeros((), dtype=torch.int64, device=self._device)
        for k in range(1, min(BATCHES, steps) + 1):
            _set_momentum(self.network, 1 / k)
            taken = self._source.last_size if k == steps else size
            batch = self._source.batch(cursor, taken)
            with forward_context(self._precision, self._device):
                state = self._task(self.network, batch, state).state
            cursor += taken


def _switchable(optimizer: torch.optim.Optimizer) -> Any:
    missing = [name for name in ("train", "eval") if not hasattr(optimizer, name)]
    if missing:
        raise PluginError(
            f"optimizer {type(optimizer).__name__} averages weights by its description but has no "
            f"{' and no '.join(f'{name}()' for name in missing)}. Give it eval(), which puts the "
            "averages into the parameters, and train(), which takes them out again; or describe it "
            "with averages_weights=False."
        )
    return optimizer


def _set_momentum(network: nn.Module, momentum: float) -> None:
    for module in network.modules():
        names = (name for name, _ in module.named_buffers(recurse=False))
        if hasattr(module, "momentum") and any(name.startswith("running") for name in names):
            setattr(module, "momentum", momentum)  # noqa: B010 - modules declare no such field


def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
