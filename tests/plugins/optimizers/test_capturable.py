"""What may be captured in a CUDA graph reads nothing back: shown on tensors without numbers."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from normbench import Optimizer
from normbench.parameters import defaults
from normbench.plugins import load_catalogue

OPTIMIZERS = [
    offer.component
    for offer in load_catalogue().offers(Optimizer)
    if ":" not in offer.component.name
]
CAPTURABLE = [optimizer for optimizer in OPTIMIZERS if optimizer.capturable]


def step_without_numbers(description) -> None:
    """Take three steps on fake CUDA tensors, where whatever needs a number raises."""
    values = defaults(description.parameters)
    with FakeTensorMode():
        weight = torch.nn.Parameter(torch.empty(8, 3, 3, 3, device="cuda"))
        bias = torch.nn.Parameter(torch.empty(8, device="cuda"))
        groups = [
            {"params": [weight], "role": "weight", "invariances": [((8, 1, 3, 3, 3), (0,))]},
            {"params": [bias], "role": "bias", "invariances": [None]},
        ]
        for group, decay in zip(groups, (0.1, 0.0), strict=True):
            group["lr"] = values["lr"]
            if "weight_decay" in values:
                group["weight_decay"] = decay
        optimizer = description.load()(groups, **values)
        for _ in range(3):
            weight.grad, bias.grad = torch.empty_like(weight), torch.empty_like(bias)
            optimizer.step()


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
