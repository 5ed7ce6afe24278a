"""Checks of what an optimizer keeps: its state, its groups, the layout and dtype of weights."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.testing.checking import require
from normbench.testing.stepping import (
    Stepper,
    network_groups,
    over,
    over_network,
    regression,
    same_bits,
    small_network,
    weights_of,
)


def resumes_bit_for_bit(optimizer: Optimizer) -> None:
    """State saved as plain data and loaded continues with the bits of a run never stopped."""
    # In float32, as runs are: torch brings scalar state to the precision of the weights.
    whole, stopped, resumed = (small_network(torch.float32) for _ in range(3))
    stepper = over_network(optimizer, whole)
    for step in range(6):
        stepper.step(regression(whole, step))
    stepper = over_network(optimizer, stopped)
    for step in range(3):
        stepper.step(regression(stopped, step))
    network_state, state = saved((stopped.network.state_dict(), stepper.optimizer.state_dict()))
    resumed.network.load_state_dict(network_state)
    stepper = over_network(optimizer, resumed)
    stepper.optimizer.load_state_dict(state)
    for step in range(3, 6):
        stepper.step(regression(resumed, step))
    require(
        same_bits(list(whole.network.parameters()), list(resumed.network.parameters())),
        "a run stopped after 3 of 6 steps, saved, loaded and continued ends with other weights.",
        "equal bits: killed runs are resumed.",
        "keep everything that the next step depends on in self.state and the groups, and let it "
        "pass torch.load(weights_only=True).",
    )


def keeps_its_groups(optimizer: Optimizer) -> None:
    """Groups keep parameters, order, rates and extra keys, also through a saved state."""
    built = small_network()
    given = network_groups(optimizer, built)
    # Copies, since an optimizer may write into the groups it is given.
    expected = [dict(group) for group in network_groups(optimizer, built)]
    stepper = Stepper(optimizer, given)
    _require_groups(expected, stepper.optimizer.param_groups, "after construction")
    stepper.optimizer.load_state_dict(saved(stepper.optimizer.state_dict()))
    _require_groups(expected, stepper.optimizer.param_groups, "after loading its own state")


def keeps_dtype(optimizer: Optimizer) -> None:
    """Weights keep their dtype, and state is no coarser than they are."""
    for dtype in (torch.float32, torch.float64):
        weight = nn.Parameter(torch.ones(4, 3, dtype=dtype))
        stepper = over(optimizer, [weight])
        for _ in range(2):
            stepper.step(lambda: weight.square().sum())  # noqa: B023 - called at once
        coarse = [
            name for name, value in stepper.optimizer.state[weight].items() if _coarse(value, dtype)
        ]
        require(
            weight.dtype == dtype and weight.isfinite().all() and not coarse,
            f"after two steps on {dtype} weights they have {weight.dtype}, and coarser state is "
            f"kept in {', '.join(map(str, coarse)) or 'none'}.",
            "finite weights of their own dtype, and state in the same precision.",
            "make state with torch.zeros_like(p).",
        )


def does_not_mind_the_layout(optimizer: Optimizer) -> None:
    """Weights in channels_last keep that layout and get the same numbers."""
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        values = torch.arange(108, dtype=torch.float64).cos().view(4, 3, 3, 3)
        weight = nn.Parameter(values.to(memory_format=layout))
        stepper = over(optimizer, [weight], [((4, 1, 3, 3, 3), (0,))])
        for _ in range(3):
            stepper.step(lambda: (weight**4).sum())  # noqa: B023 - called at once
        ends.append(weight.detach())
    require(
        ends[1].is_contiguous(memory_format=torch.channels_last)
        and torch.allclose(ends[0], ends[1], rtol=1e-9, atol=1e-9),
        f"a channels_last weight ends with strides {ends[1].stride()} and differs by "
        f"{(ends[0] - ends[1]).abs().max():.3g} from a contiguous one.",
        "the same layout and numbers.",
        "make state with torch.zeros_like(p), reshape with reshape instead of view, and write into "
        "p in place.",
    )


def elementwise_as_it_says(optimizer: Optimizer) -> None:
    """One number's gradient moves other numbers exactly if the optimizer is not elementwise."""
    ends = []
    for slope in (1.0, 20.0):
        weights = [nn.Parameter(torch.linspace(1, 2, 70).double().view(10, 7)) for _ in range(2)]
        slopes = torch.ones(10, 7, dtype=torch.float64)
        slopes[4, 3] = slope
        stepper = over(optimizer, weights, [((10, 7), (0,)), None])
        for _ in range(12):
            stepper.step(lambda: (slopes * weights[0] ** 2 + weights[1] ** 2).sum())  # noqa: B023
        others = slopes.new_ones(10, 7)
        others[4, 3] = 0.0
        ends.append(torch.cat([weights[0].detach() * others, weights[1].detach()]))
    alone = torch.allclose(ends[0], ends[1], rtol=1e-10, atol=0.0)
    require(
        optimizer.elementwise == alone,
        f"Optimizer.elementwise is {optimizer.elementwise}, but a larger gradient of one number "
        f"{'leaves all others as they were' if alone else 'changes the steps of others'}.",
        "elementwise=True exactly if each number's update depends on its own history alone; runs "
        "are then packed together.",
        f"set elementwise={alone} in the description.",
    )


def averages_as_it_says(optimizer: Optimizer) -> None:
    """An optimizer that averages weights has eval(), which shows them, and train() to go back."""
    built = small_network()
    stepper = over_network(optimizer, built)
    switches = all(callable(getattr(stepper.optimizer, name, None)) for name in ("eval", "train"))
    require(
        switches == optimizer.averages_weights,
        f"Optimizer.averages_weights is {optimizer.averages_weights}, but the optimizer "
        f"{'has' if switches else 'lacks'} the methods eval() and train().",
        "both methods exactly if averages_weights=True.",
        f"set averages_weights={switches}, or "
        f"{'rename them' if switches else 'write the two methods'}.",
    )
    if not switches:
        return
    for step in range(4):
        stepper.step(regression(built, step))
    tensors = list(built.network.parameters())
    trained = weights_of(tensors)
    stepper.switch("eval")
    averaged = weights_of(tensors)
    stepper.switch("train")
    back = all(
        torch.allclose(one, other, rtol=1e-12, atol=1e-12)
        for one, other in zip(trained, weights_of(tensors), strict=True)
    )
    require(
        back and not same_bits(trained, averaged),
        f"eval() {'changes' if not same_bits(trained, averaged) else 'does not change'} the "
        f"weights, and train() {'restores' if back else 'does not restore'} them.",
        "eval() puts the averages in place, train() the weights that train.",
        "swap them in eval() and swap back in train().",
    )


def saved(content: Any) -> Any:
    """Return *content* saved by torch and loaded again as plain data."""
    file = io.BytesIO()
    torch.save(content, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def _require_groups(expected: list[dict[str, Any]], found: list[dict[str, Any]], when: str) -> None:
    difference = _first_difference(expected, found)
    require(
        not difference,
        f"{when} param_groups are not what was given: {difference}.",
        "the same groups in the same order, with role, lr, weight_decay and invariances.",
        "hand the groups to torch.optim.Optimizer.__init__ as they are.",
    )


def _first_difference(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """Return what the groups given have and those found lack, or nothing."""
    if len(expected) != len(found):
        return f"{len(found)} groups instead of {len(expected)}"
    for index, (given, kept) in enumerate(zip(expected, found, strict=True)):
        if list(map(id, given["params"])) != list(map(id, kept["params"])):
            return f"group {index} has other parameters"
        for name, value in given.items():
            if name != "params" and kept.get(name) != value:
                return f"group {index} has {name}={kept.get(name)!r} instead of {value!r}"
    return ""


def _coarse(value: Any, dtype: torch.dtype) -> bool:
    """Whether *value* is a whole state tensor of less precision than the weights."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim == 0:
        return False
    return torch.finfo(value.dtype).eps > torch.finfo(dtype).eps
