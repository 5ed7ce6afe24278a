"""An optimizer put to use: on a small network as the harness would, and on bare tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.parameters import checked, defaults
from normbench.roles import Built, describe_network, parameter_groups
from normbench.rules import Ablation
from normbench.sites import Sites
from normbench.testing.checking import ContractError
from normbench.testing.stand_ins import OVER_EXAMPLE

Invariance = tuple[tuple[int, ...], tuple[int, ...]] | None
Loss = Callable[[], Tensor]


class Stepper:
    """An optimizer with what its description says of how it steps.

    Args:
        optimizer: The description.
        groups: Parameter groups, as the harness makes them.
        values: The optimizer's parameters that differ from their defaults.
    """

    def __init__(
        self, optimizer: Optimizer, groups: Sequence[dict[str, Any]], **values: Any
    ) -> None:
        self.description = optimizer
        given = checked(optimizer.parameters, values, f"optimizer {optimizer.name}")
        made = optimizer.load()(list(groups), **given)
        if not isinstance(made, torch.optim.Optimizer):
            raise ContractError(
                f"the factory returned {type(made).__name__}.",
                "a torch.optim.Optimizer.",
                "return an instance of a subclass of torch.optim.Optimizer.",
            )
        self.optimizer = made
        self.switch("train")

    def switch(self, mode: str) -> None:
        """Call the optimizer's ``train()`` or ``eval()``, if it averages weights."""
        if self.description.averages_weights:
            getattr(self.optimizer, mode)()

    def step(self, loss: Loss) -> float:
        """Take one step on *loss* and return its value before."""
        seen: list[float] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            value = loss()
            value.backward()  # type: ignore[no-untyped-call]
            seen.append(float(value.detach()))
            return value

        if self.description.needs_closure:
            self.optimizer.step(closure)  # type: ignore[arg-type] # torch wants a float
        else:
            closure()
            self.optimizer.step()
        return seen[0]

    def scale_rate(self, factor: float) -> None:
        """Multiply every group's learning rate, as a schedule does."""
        for group in self.optimizer.param_groups:
            group["lr"] *= factor


def over(
    optimizer: Optimizer,
    tensors: Sequence[nn.Parameter],
    invariances: Sequence[Invariance] | None = None,
    **values: Any,
) -> Stepper:
    """Return *optimizer* over bare tensors, in one group of role weight."""
    group: dict[str, Any] = {
        "params": list(tensors),
        "role": "weight",
        "invariances": list(invariances or [None] * len(tensors)),
    }
    return Stepper(optimizer, [{**group, **_group_values(optimizer, values)}], **values)


def small_network(dtype: torch.dtype = torch.float64) -> Built:
    """Return a channels_last network with a norm, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        sites = Sites.for_norm(OVER_EXAMPLE, {})
        layer = nn.Conv2d(3, 4, 3)
        pair = sites.after(layer, nn.Tanh())
        network = nn.Sequential(layer, *pair, nn.Flatten(), nn.Linear(36, 2))
    network.to(dtype).to(memory_format=torch.channels_last)
    return describe_network(network, sites, "a small network")


def over_network(optimizer: Optimizer, built: Built, **values: Any) -> Stepper:
    """Return *optimizer* over the groups that the harness makes of a network."""
    return Stepper(optimizer, network_groups(optimizer, built, **values), **values)


def network_groups(optimizer: Optimizer, built: Built, **values: Any) -> list[dict[str, Any]]:
    """Return the parameter groups that the harness makes of a network for *optimizer*."""
    rate = _group_values(optimizer, values)
    return parameter_groups(
        built.parameters,
        lr=rate["lr"],
        weight_decay=rate.get("weight_decay"),
        ablation=Ablation(),
    )


def regression(built: Built, step: int) -> Loss:
    """Return the loss of a regression whose batch depends on *step* alone."""
    generator = torch.Generator().manual_seed(step)
    dtype = built.parameters[0].parameter.dtype
    inputs = torch.randn(8, 3, 5, 5, dtype=dtype, generator=generator)
    targets = inputs.flatten(1)[:, :2]
    return lambda: (built.network(inputs) - targets).square().mean()


def weights_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return a copy of *tensors* without their graphs."""
    return [tensor.detach().clone() for tensor in tensors]


def same_bits(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors are equal bit by bit."""
    return all(torch.equal(one, other) for one, other in zip(these, those, strict=True))


def has(optimizer: Optimizer, parameter: str) -> bool:
    """Whether *optimizer* describes a parameter of that name."""
    return any(known.name == parameter for known in optimizer.parameters)


def default_rate(optimizer: Optimizer) -> float:
    """Return the default learning rate, 0.01 if it has none."""
    value = defaults(optimizer.parameters).get("lr")
    return float(value) if isinstance(value, int | float) else 0.01


def rates(optimizer: Optimizer) -> Iterator[float]:
    """Yield learning rates worth trying, large ones first: those that diverge cost little."""
    default = default_rate(optimizer)
    known = next((p for p in optimizer.parameters if p.name == "lr"), None)
    search = known.search if known else None
    if search is not None and search.choices:
        yield from (float(choice) for choice in search.choices if isinstance(choice, int | float))
    else:
        low, high = (search.low, search.high) if search else (default / 100, default * 100)
        low = max(low, high * 1e-6)
        yield from (high * (low / high) ** (i / 5) for i in range(6))
    yield default


def _group_values(optimizer: Optimizer, values: dict[str, Any]) -> dict[str, Any]:
    """Return what the harness writes into a group: learning rate and weight decay."""
    known = {**defaults(optimizer.parameters), **values}
    return {name: known[name] for name in ("lr", "weight_decay") if name in known}
