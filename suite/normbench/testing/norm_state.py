"""Checks of what a norm remembers: running statistics, copies, saved states."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from normbench.descriptions import Norm
from normbench.errors import UsageError
from normbench.testing.checking import ContractError, require
from normbench.testing.placing import Placed, place


def evaluation_changes_nothing(norm: Norm) -> None:
    """In evaluation a norm changes no parameter and no buffer."""
    for kind in norm.site_kinds:
        placed = _trained(norm, kind)
        before = copy.deepcopy(placed.network.state_dict())
        placed.network.eval()(placed.inputs())
        changed = _differences(before, placed.network.state_dict())
        require(
            not changed,
            f"an evaluation pass at a {kind} site changed {', '.join(changed)}.",
            "a state that only training passes change.",
            "update buffers under `if self.training:`.",
        )


def evaluates_examples_one_by_one(norm: Norm) -> None:
    """In evaluation an example's output does not depend on the batch it is in."""
    for kind in norm.site_kinds:
        placed = _trained(norm, kind)
        network = placed.network.double().eval()
        inputs = placed.inputs()
        together, alone = network(inputs)[:1], network(inputs[:1])
        require(
            torch.allclose(together, alone, rtol=1e-9, atol=1e-9),
            f"at a {kind} site an example evaluated alone differs by "
            f"{(together - alone).abs().max():.3g} from the same one within a batch.",
            "equal outputs: test scores must not depend on the evaluation batch.",
            "use running statistics, or the example's own, when self.training is False.",
        )


def buffers_leave_the_graph(norm: Norm) -> None:
    """Buffers hold finite numbers and no graph after a training step."""
    for kind in norm.site_kinds:
        placed = _trained(norm, kind)
        for name, buffer in placed.network.named_buffers():
            require(
                buffer.grad_fn is None and not buffer.requires_grad,
                f"buffer {name} is part of the autograd graph after training at a {kind} site.",
                "buffers without history; otherwise the graph grows with every step.",
                "update them in place under torch.no_grad(), or from statistics.detach().",
            )
            require(
                not buffer.is_floating_point() or buffer.isfinite().all(),
                f"buffer {name} is not finite after two training steps at a {kind} site.",
                "finite running statistics.",
                "initialize the buffer, and guard estimates over single values.",
            )


def state_survives_saving(norm: Norm) -> None:
    """A state saved as plain data and loaded into a fresh norm gives the same bits."""
    for kind in norm.site_kinds:
        placed = _trained(norm, kind)
        inputs = placed.inputs()
        expected = placed.network.eval()(inputs)
        file = io.BytesIO()
        torch.save(placed.network.state_dict(), file)
        fresh = place(norm, kind).network
        fresh.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        require(
            torch.equal(fresh.eval()(inputs), expected),
            f"a fresh norm at a {kind} site that loads the state of a trained one gives another "
            "output.",
            "equal bits: runs resume from saved states.",
            "keep all that forward depends on in parameters and registered buffers.",
        )


def copies_are_independent(norm: Norm) -> None:
    """A deep copy computes the same, and training it leaves the original alone."""
    for kind in norm.site_kinds:
        placed = _trained(norm, kind)
        inputs = placed.inputs()
        twin = copy.deepcopy(placed.network)
        before = copy.deepcopy(placed.network.state_dict())
        same = torch.equal(twin.eval()(inputs), placed.network.eval()(inputs))
        _train(twin.train(), inputs)
        shared = _differences(before, placed.network.state_dict())
        require(
            same and not shared,
            f"a deep copy at a {kind} site {'shares ' + ', '.join(shared) if shared else 'differs'}"
            ".",
            "a copy with values of its own, and the same output.",
            "keep state in parameters and buffers of the module, not in globals or closures.",
        )


def takes_a_batch_of_one(norm: Norm) -> None:
    """A single example trains and evaluates, or is refused with a UsageError."""
    for kind in norm.site_kinds:
        placed = place(norm, kind)
        for training in (True, False):
            _require_one(placed, training)


def _require_one(placed: Placed, training: bool) -> None:
    mode = "training" if training else "evaluation"
    refusal = "finite numbers, or a UsageError that says which batch size works."
    try:
        outputs = placed.network.train(training)(placed.inputs(1))
    except UsageError:
        return
    except Exception as error:
        raise ContractError(
            f"in {mode} a batch of one example at a {placed.kind} site ends in "
            f"{type(error).__name__}: {error}",
            refusal,
            "raise normbench.UsageError where one example is too few.",
        ) from error
    require(
        outputs.isfinite().all(),
        f"in {mode} a batch of one example at a {placed.kind} site gives NaN or infinity.",
        refusal,
        "use biased variances with an eps, or raise normbench.UsageError.",
    )


def _trained(norm: Norm, kind: str) -> Placed:
    """Return the norm after two training steps."""
    placed = place(norm, kind)  # type: ignore[arg-type] # one of its own kinds
    for _ in range(2):
        _train(placed.network, placed.inputs())
    return placed


def _train(network: nn.Module, inputs: Tensor) -> None:
    """Take a step of gradient descent that moves every parameter."""
    network.zero_grad()
    outputs = network(inputs)
    (outputs * torch.randn_like(outputs)).mean().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)


def _differences(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in before.items() if not torch.equal(value, after[name])]
