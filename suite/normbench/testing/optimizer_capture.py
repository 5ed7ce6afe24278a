"""The check that an optimizer's step may be captured in a CUDA graph, as its description says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.testing.checking import ContractError, require
from normbench.testing.stepping import over

# Three before the capture, as torch asks for; two replayed, since one might repeat a count.
EAGER_STEPS = 3
REPLAYED_STEPS = 2


def can_be_captured_as_it_says(optimizer: Optimizer) -> str | None:
    """Declared capturable, a step captured in a CUDA graph replays as steps that are not."""
    if not optimizer.capturable:
        return "it does not say that a CUDA graph may hold its step"
    if optimizer.needs_closure:
        return "its step holds the passes of the network too"
    if not torch.cuda.is_available():
        return "it needs CUDA, and there is no such device here"
    gradients = torch.randn(EAGER_STEPS + REPLAYED_STEPS, 4, 3, dtype=torch.float64).cuda()
    expected, actual = _stepped(optimizer, gradients), _replayed(optimizer, gradients)
    worst = float((expected - actual).abs().max())
    require(
        worst <= 1e-9,
        f"after {REPLAYED_STEPS} replays of a captured step weights differ by {worst:.3g} from "
        "those of steps that were not captured.",
        "the same weights.",
        "keep step counts and all else that changes from step to step in tensors on the "
        "parameters' device, or set capturable=False.",
    )
    return None


def _stepped(optimizer: Optimizer, gradients: Tensor) -> Tensor:
    weight = _weight(gradients)
    stepper = over(optimizer, [weight])
    for gradient in gradients:
        _give(weight, gradient)
        stepper.optimizer.step()
    return weight.detach()


def _replayed(optimizer: Optimizer, gradients: Tensor) -> Tensor:
    weight = _weight(gradients)
    stepper = over(optimizer, [weight])
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for gradient in gradients[:EAGER_STEPS]:
            _give(weight, gradient)
            stepper.optimizer.step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = _captured(stepper.optimizer)
    for gradient in gradients[EAGER_STEPS:]:
        _give(weight, gradient)
        graph.replay()
    torch.cuda.synchronize()
    return weight.detach()


def _captured(optimizer: torch.optim.Optimizer) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            optimizer.step()
    except Exception as error:
        raise ContractError(
            f"capturing step() in a CUDA graph ends in {type(error).__name__}: {error}",
            "a step without host reads, as capturable=True says.",
            "replace .item(), float(tensor) and branches on tensors by tensor operations, or set "
            "capturable=False.",
        ) from error
    return graph


def _weight(gradients: Tensor) -> nn.Parameter:
    """Return weights whose gradient stays at one address, as a graph wants it."""
    weight = nn.Parameter(torch.linspace(1, 2, 12).to(gradients).view(4, 3))
    weight.grad = torch.zeros_like(weight)
    return weight


def _give(weight: nn.Parameter, gradient: Tensor) -> None:
    if weight.grad is not None:
        weight.grad.copy_(gradient)
