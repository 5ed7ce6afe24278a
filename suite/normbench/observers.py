"""Observers at work: what they are shown of a training network, and what they give back.

An observer looks at a copy. Nothing it does to that copy, and no random number it draws, reaches
the run that it observes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normbench.layers import Stochastic, bind_generator
from normbench.roles import Built, ParameterInfo, SiteInfo
from normbench.tasks import Batch, Scores, Task

Array = Tensor | NDArray[Any]


class Probe(Protocol):
    """What an observer's factory returns: one object for each run.

    A probe that remembers something from one moment to the next also has ``state_dict()``, which
    returns tensors by name, and ``load_state_dict(state)``. Both go through the run's checkpoints,
    so that a resumed run yields the same series.
    """

    def observe(self, view: View) -> Mapping[str, Array]:
        """Return the described arrays at one moment.

        Shapes must not change from moment to moment. Values may be non-finite where the network's
        are.
        """
        ...


class View:
    """What an observer is shown at one moment. Made by the engine, anew for each observer.

    Attributes:
        epoch: Position in the run, in epochs: steps done over the steps of an epoch.
        step: Steps done.
        sites: Norm sites of the network.
        task: Loss and metrics.
        learning_rate_factor: What the schedule multiplies all learning rates with: in the step just
            done, at step 0 in the first step.
        device: Where everything lies.
    """

    def __init__(
        self,
        *,
        epoch: float,
        step: int,
        built: Built,
        task: Task,
        batch: Callable[[], Batch],
        device: torch.device,
        optimizer: torch.optim.Optimizer,
        learning_rates: Sequence[float],
        learning_rate_factor: float,
        precision: AbstractContextManager[object],
        seed: int,
    ) -> None:
        self.epoch, self.step = epoch, step
        self.sites: tuple[SiteInfo, ...] = built.sites
        self.task, self.device = task, device
        self.learning_rate_factor = learning_rate_factor
        self._original, self._optimizer, self._batch = built, optimizer, batch
        self._rates, self._precision, self._seed = learning_rates, precision, seed

    @cached_property
    def network(self) -> nn.Module:
        """A copy of the network with its buffers, in training mode.

        Its layers draw from a stream of their own. It may be run, hooked and changed at will.
        """
        generator = torch.Generator(self.device).manual_seed(self._seed)
        shared = (m.generator for m in self._original.network.modules() if _draws(m))
        # Found in the memo, the run's generator is replaced in the copy, not copied.
        memo: dict[int, Any] = {id(old): generator for old in shared}
        network = copy.deepcopy(self._original.network, memo).train()
        bind_generator(network, generator)
        return network

    @cached_property
    def batch(self) -> Batch:
        """Training examples, augmented as in training; the same at every moment of the run."""
        kept = self._batch()
        return Batch(kept.inputs.clone(), kept.targets.clone())

    @cached_property
    def parameters(self) -> tuple[ParameterInfo, ...]:
        """Copies of all parameters with their roles, sites and invariances.

        They are no parts of :attr:`network`, which need not be copied to read them.
        """
        return tuple(
            replace(info, parameter=_copied_parameter(info.parameter))
            for info in self._original.parameters
        )

    def scores(self) -> Scores:
        """Run the copy on the batch in the run's precision; the loss is ready for a backward pass.

        A forward pass in training mode: statistics are the batch's, and the copy's buffers move.
        """
        state = self.task.initial_state(len(self.batch.targets), self.device)
        with self._precision:
            return self.task(self.network, self.batch, state)

    def group_of(self, name: str) -> dict[str, Any]:
        """Return the optimizer's settings for parameter *name*, such as ``lr`` and ``betas``.

        ``lr`` is that of the step just done, at step 0 that of the first step. Empty if the
        parameter does not train.
        """
        parameter = self._parameter(name)
        for index, group in enumerate(self._optimizer.param_groups):
            if any(member is parameter for member in group["params"]):
                settings = {key: value for key, value in group.items() if key != "params"}
                return {**settings, "lr": self._rates[index] * self.learning_rate_factor}
        return {}

    def state_of(self, name: str) -> dict[str, Any]:
        """Return a copy of the optimizer's state for parameter *name*, such as its moments."""
        # Asking an optimizer's state for what it lacks would create it.
        parameter = self._parameter(name)
        state = self._optimizer.state
        held = state[parameter] if parameter in state else {}  # noqa: SIM401 - a defaultdict
        return {key: _copied(value) for key, value in held.items()}

    def _parameter(self, name: str) -> nn.Parameter:
        return next(info.parameter for info in self._original.parameters if info.name == name)


def _draws(module: nn.Module) -> bool:
    return isinstance(module, Stochastic) and module.generator is not None


def _copied_parameter(parameter: nn.Parameter) -> nn.Parameter:
    copied = parameter.detach().clone()
    return nn.Parameter(copied, requires_grad=parameter.requires_grad)


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
