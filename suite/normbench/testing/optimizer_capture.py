"""The check that an optimizer's step may be captured in a CUDA graph, as its description says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.engine.rates import TensorRates
from normbench.engine.recording import CudaRecorder, Recorder, Work
from normbench.testing.checking import ContractError, require
from normbench.testing.stepping import over

# Three before the capture, as torch asks for; two replayed, since one might repeat a count.
EAGER_STEPS = 3
REPLAYED_STEPS = 2
STEPS = EAGER_STEPS + REPLAYED_STEPS


def can_be_captured_as_it_says(optimizer: Optimizer) -> str | None:
    """Declared capturable, a step captured in a CUDA graph replays as steps that are not."""
    if not optimizer.capturable:
        return "it does not say that a CUDA graph may hold its step"
    if optimizer.needs_closure:
        return "its step holds the passes of the network too"
    if not torch.cuda.is_available():
        return "it needs CUDA, and there is no such device here"
    device = torch.device("cuda")
    check_replays(optimizer, CudaRecorder(device, ()), device)
    return None


def check_replays(optimizer: Optimizer, recorder: Recorder, device: torch.device) -> None:
    """Check that a step that *recorder* captured does in each replay what a plain step does.

    Learning rates lie in tensors and fall from step to step, as in training.

    Raises:
        ContractError: If it does something else, or cannot be captured.
    """
    gradients = torch.randn(STEPS, 4, 3, dtype=torch.float64).to(device)
    plain, captured = _Steps(optimizer, gradients), _Steps(optimizer, gradients)
    for _ in range(STEPS):
        plain.take()
    with recorder.beside():
        for _ in range(EAGER_STEPS):
            captured.take()
    replay = captured.recorded(recorder)
    for _ in range(REPLAYED_STEPS):
        replay()
    recorder.wait()
    worst = float((plain.weight - captured.weight).detach().abs().max())
    require(
        worst <= 1e-9,
        f"after {REPLAYED_STEPS} replays of a captured step weights differ by {worst:.3g} from "
        "those of steps that were not captured.",
        "the same weights.",
        "keep step counts, learning rates and all else that changes from step to step in tensors "
        "on the parameters' device, or set capturable=False.",
    )


class _Steps:
    """An optimizer over one weight, whose steps depend on nothing but tensors at fixed places."""

    def __init__(self, optimizer: Optimizer, gradients: Tensor) -> None:
        self._gradients = gradients
        self.weight = nn.Parameter(torch.linspace(1, 2, 12).to(gradients).view(4, 3))
        self.weight.grad = torch.zeros_like(self.weight)
        self._optimizer = over(optimizer, [self.weight]).optimizer
        self._index = torch.zeros(1, dtype=torch.int64, device=gradients.device)
        self._rates = TensorRates(self._optimizer, STEPS, gradients.device)
        self._rates.start_epoch([1.0 / (step + 1) for step in range(STEPS)])

    @torch.no_grad()
    def take(self) -> None:
        """Take the step whose turn it is."""
        self._rates.look_up(self._index)
        if self.weight.grad is not None:
            self.weight.grad.copy_(self._gradients.index_select(0, self._index)[0])
        self._optimizer.step()
        self._index += 1

    def recorded(self, recorder: Recorder) -> Work:
        """Return the step, recorded; whether it took effect meanwhile is open, so undo it."""
        state = [value for each in self._optimizer.state.values() for value in each.values()]
        tensors = [self.weight.data, self._index, *(v for v in state if isinstance(v, Tensor))]
        kept = [tensor.clone() for tensor in tensors]
        try:
            replay = recorder.capture(self.take)
        except Exception as error:
            raise ContractError(
                f"capturing step() in a CUDA graph ends in {type(error).__name__}: {error}",
                "a step without host reads that takes learning rates as tensors, as "
                "capturable=True says.",
                "replace .item(), float(tensor), alpha=lr and branches on tensors by tensor "
                "operations, or set capturable=False.",
            ) from error
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.copy_(value)
        return replay
