"""What may be captured in a CUDA graph: shown without a GPU.

A graph holds the operations of one step, on the tensors it met, and nothing of Python. So a step
may be captured if it reads no number back, shown on tensors without numbers, and if its operations,
recorded once and run again, take the steps that Python would take.
"""

from __future__ import annotations

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from normbench import Optimizer
from normbench.parameters import defaults
from normbench.plugins import load_catalogue
from normbench_plugins.optimizers.lists import scalar_for

OPTIMIZERS = [
    offer.component
    for offer in load_catalogue().offers(Optimizer)
    if ":" not in offer.component.name
]
aten = torch.ops.aten
SCALES = {
    *(aten._foreach_mul.Tensor, aten._foreach_mul_.Tensor),
    *(aten._foreach_div.Tensor, aten._foreach_div_.Tensor),
}
CAPTURABLE = [optimizer for optimizer in OPTIMIZERS if optimizer.capturable]


class Recorder(TorchDispatchMode):
    """Keeps every operation with the tensors it met, as a capture does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Run the operations again; tensors from before the recording are those of then."""
        made: dict[int, torch.Tensor] = {}
        for function, args, kwargs, result in self.calls:
            given = tree_map_only(torch.Tensor, lambda t: made.get(id(t), t), (args, kwargs))
            again = function(*given[0], **given[1])
            for before, after in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(before, torch.Tensor):
                    made[id(before)] = after


def over(description, weight, bias) -> torch.optim.Optimizer:
    """Return the optimizer over a filter bank on spheres and a bias."""
    values = defaults(description.parameters)
    groups = [
        {"params": [weight], "role": "weight", "invariances": [((8, 1, 3, 3, 3), (0,))]},
        {"params": [bias], "role": "bias", "invariances": [None]},
    ]
    for group, decay in zip(groups, (0.1, 0.0), strict=True):
        group["lr"] = values["lr"]
        if "weight_decay" in values:
            group["weight_decay"] = decay
    return description.load()(groups, **values)


def step_without_numbers(description) -> None:
    """Take three steps on fake CUDA tensors, where whatever needs a number raises."""
    with FakeTensorMode():
        weight = torch.nn.Parameter(torch.empty(8, 3, 3, 3, device="cuda"))
        bias = torch.nn.Parameter(torch.empty(8, device="cuda"))
        optimizer = over(description, weight, bias)
        for _ in range(3):
            weight.grad, bias.grad = torch.empty_like(weight), torch.empty_like(bias)
            optimizer.step()


def stepped(description, *, replayed: int) -> list[torch.Tensor]:
    """Return the parameters after seven steps, the last *replayed* of them from a recording."""
    draw = torch.Generator().manual_seed(0)
    numbers = [torch.randn(8, 28, generator=draw) for _ in range(8)]
    parameters = [
        torch.nn.Parameter(numbers[0][:, :27].reshape(8, 3, 3, 3)),
        torch.nn.Parameter(numbers[0][:, 27].contiguous()),
    ]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer, recorder = over(description, *parameters), Recorder()
    for index, gradient in enumerate(numbers[1:]):
        parameters[0].grad.copy_(gradient[:, :27].reshape(8, 3, 3, 3))
        parameters[1].grad.copy_(gradient[:, 27])
        if replayed and index >= 7 - replayed:
            recorder.replay()
        elif replayed and index == 6 - replayed:
            with recorder:
                optimizer.step()
        else:
            optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.fixture
def as_on_cuda(monkeypatch) -> None:
    """Let optimizers take on the processor the implementation that they take on CUDA."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith("torch.optim") and hasattr(module, "_get_capturable_supported_devices"):
            monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda **_: ["cpu"])
        if name.startswith("normbench_plugins.optimizers") and hasattr(module, "capturable"):
            monkeypatch.setattr(module, "capturable", lambda _: True)


@pytest.mark.parametrize("optimizer", CAPTURABLE, ids=lambda each: each.name)
def test_step_reads_nothing_from_the_device(optimizer):
    """No step of an optimizer declared capturable needs the value of a tensor on the host."""
    try:
        step_without_numbers(optimizer)
    except RuntimeError as error:
        if "NVIDIA driver" not in str(error):
            raise
        pytest.skip("torch's fused kernel asks for a driver")


def test_a_step_that_reads_is_caught():
    """SOAP, which is not declared capturable, decides on the host whether to renew its bases."""
    soap = next(optimizer for optimizer in OPTIMIZERS if optimizer.name == "soap")

    assert not soap.capturable
    with pytest.raises(DataDependentOutputException):
        step_without_numbers(soap)


@pytest.mark.parametrize("optimizer", CAPTURABLE, ids=lambda each: each.name)
def test_recorded_step_run_again_is_the_next_step(optimizer, request):
    """Three replays of one recorded step end in the bits of three steps: no state is Python's."""
    optimizer.load()
    request.getfixturevalue("as_on_cuda")

    expected, actual = stepped(optimizer, replayed=0), stepped(optimizer, replayed=3)
    for whole, again in zip(expected, actual, strict=True):
        assert torch.equal(whole, again)


def scalars_met(description) -> list[tuple[torch.dtype, torch.dtype]]:
    """Return the dtypes of every list that a step scales by a scalar tensor, and of that."""
    weight, bias = torch.nn.Parameter(torch.ones(8, 3, 3, 3)), torch.nn.Parameter(torch.ones(8))
    weight.grad, bias.grad = torch.ones_like(weight), torch.ones_like(bias)
    optimizer, recorder = over(description, weight, bias), Recorder()
    with recorder:
        optimizer.step()
    scaled = [args for function, args, *_ in recorder.calls if function in SCALES]
    return [(tensors[0].dtype, scalar.dtype) for tensors, scalar in scaled]


def test_lists_are_scaled_by_scalars_of_their_own_dtype(request):
    """A scalar tensor of another dtype would cost a kernel a parameter on CUDA, not one a list."""
    for optimizer in CAPTURABLE:
        optimizer.load()
    request.getfixturevalue("as_on_cuda")
    met = {optimizer.name: scalars_met(optimizer) for optimizer in CAPTURABLE}

    assert {"lamb", "schedule_free_sgd", "schedule_free_adamw"} <= {n for n, m in met.items() if m}
    assert {} == {n: m for n, m in met.items() if any(a != b for a, b in m)}


def test_scalar_keeps_its_digits_where_rounding_it_would_change_bits():
    """It is rounded to float32 beside float32 lists, unless one of them is a scalar itself."""
    number = torch.tensor(0.1, dtype=torch.float64)
    single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)

    assert torch.float32 == scalar_for([single], number).dtype
    assert number is scalar_for([double], number)
    assert number is scalar_for([single, torch.ones(())], number)
    assert 0.1 == scalar_for([single], 0.1)


def test_step_that_counts_in_python_is_caught():
    """As it runs on a processor, AdamS keeps its step count in Python, which no graph advances."""
    adam_s = next(optimizer for optimizer in OPTIMIZERS if optimizer.name == "adam_s")

    expected, actual = stepped(adam_s, replayed=0), stepped(adam_s, replayed=3)
    assert not torch.equal(expected[0], actual[0])
