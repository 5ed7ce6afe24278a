"""Checks of what a norm computes: shapes, precision, gradients, invariances."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck

from normbench.descriptions import Norm
from normbench.testing.checking import ContractError, require
from normbench.testing.placing import Placed, draw_scales, parameters_of, place

_LAYOUTS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}
_FAST = {"fast_mode": True, "check_batched_grad": False}


def keeps_shape_and_dtype(norm: Norm) -> None:
    """Output and gradient have the shape and dtype of the input, in float32 and float64."""
    for placed in _places(norm):
        for dtype in (torch.float32, torch.float64):
            inputs = placed.activations().to(dtype).requires_grad_()
            outputs = placed.pair.to(dtype)(inputs)
            _require_like(outputs, inputs, f"the output at a {placed.kind} site")
            (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
            _require_like(gradient, inputs, f"the input's gradient at a {placed.kind} site")


def keeps_channels_last(norm: Norm) -> str | None:
    """Output and gradient have the memory format of the input, contiguous or channels_last."""
    if "conv" not in norm.site_kinds:
        return "it does not sit behind convolutions"
    placed = place(norm, "conv")
    for name, layout in _LAYOUTS.items():
        inputs = placed.activations().to(memory_format=layout).requires_grad_()
        outputs = placed.pair(inputs)
        # Not inputs.grad: a leaf's gradient is brought to the leaf's layout whatever the norm does.
        (gradient,) = torch.autograd.grad(outputs, inputs, torch.randn_like(outputs))
        for what, tensor in (("output", outputs), ("input's gradient", gradient)):
            require(
                tensor.is_contiguous(memory_format=layout),
                f"for a {name} input the {what} has strides {tensor.stride()}.",
                f"{name} strides, as the input's {inputs.stride()}.",
                "use operations that keep the layout: no view or reshape across the channels, no "
                "contiguous(). The layers behind run slower in the other layout.",
            )
    return None


def works_in_bfloat16(norm: Norm) -> None:
    """Of bfloat16 inputs only the output is rounded: statistics are taken in float32."""
    for placed in _places(norm):
        draw_scales(placed)
        inputs = (placed.activations() + 50.0).bfloat16()
        expected = copy.deepcopy(placed.pair).double()(inputs.double())
        outputs = placed.pair(inputs)
        _require_like(outputs, inputs, f"the output for bfloat16 inputs at a {placed.kind} site")
        error = (outputs.double() - expected).abs() - 2**-7 * expected.abs()
        require(
            error.max() < 2e-2,
            f"for bfloat16 inputs with mean 50 the output at a {placed.kind} site is off by "
            f"{error.max():.3g} and more than rounding explains.",
            "the float64 output, rounded to bfloat16 once.",
            "take statistics of inputs.float() and cast the result: .to(inputs.dtype).",
        )


def works_under_autocast(norm: Norm) -> None:
    """In a bfloat16 autocast region the network computes, and its gradients are float32."""
    for placed in _places(norm):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = placed.network(placed.inputs())
        _require_finite(outputs, f"the output under autocast at a {placed.kind} site")
        outputs.float().square().sum().backward()
        for name, parameter in placed.network.named_parameters():
            if parameter.grad is not None:
                _require_finite(parameter.grad, f"the gradient of {name} under autocast")
                _require_like(parameter.grad, parameter, f"the gradient of {name}")


def gradients_are_finite(norm: Norm) -> None:
    """Every parameter gets a gradient, and it is finite for inputs that are all 0 as well."""
    for placed in _places(norm):
        placed.front.register_parameter("bias", None)  # so that 0 arrives where 0 goes in
        for what, inputs in (("normal", placed.inputs()), ("zero", placed.inputs() * 0.0)):
            placed.network.zero_grad()
            outputs = placed.network(inputs)
            _require_finite(outputs, f"the output for {what} inputs at a {placed.kind} site")
            (outputs * torch.randn_like(outputs)).sum().backward()
            for name, parameter in parameters_of(placed):
                _require_gradient(name, parameter, f"for {what} inputs at a {placed.kind} site")


def gradients_are_right(norm: Norm) -> None:
    """Gradients of inputs and parameters agree with finite differences in float64."""
    for placed in _places(norm):
        draw_scales(placed)
        network = nn.Sequential(placed.front, placed.pair).double()
        inputs = placed.inputs(4).requires_grad_()
        given = (inputs, *(p for p in network.parameters() if p.requires_grad))
        try:
            gradcheck(lambda values, *_, net=network: net(values), given, **_FAST)
        except GradcheckError as error:
            raise ContractError(
                f"at a {placed.kind} site gradcheck finds: {str(error).strip().splitlines()[0]}",
                "analytical gradients that agree with finite differences.",
                "keep float64 inputs as they are, since .float() rounds them: take statistics of "
                "inputs.float() of float16 and bfloat16 alone. Let autograd differentiate the "
                "statistics too: no detach(), .data or no_grad in forward; if backward is your "
                "own, check its formula.",
            ) from error


def leaves_its_input_alone(norm: Norm) -> None:
    """A norm does not write into its input, which a shortcut may still need."""
    for placed in _places(norm):
        inputs = placed.activations()
        before = inputs.clone()
        placed.pair(inputs)
        require(
            torch.equal(inputs, before),
            f"the input at a {placed.kind} site was changed in place.",
            "an input that is as it was.",
            "use operations without a trailing underscore on the input.",
        )


def _places(norm: Norm) -> Iterator[Placed]:
    for kind in norm.site_kinds:
        yield place(norm, kind)


def _require_like(actual: Tensor, like: Tensor, what: str) -> None:
    seen = f"{what} has shape {tuple(actual.shape)} and dtype {actual.dtype}."
    expected = f"shape {tuple(like.shape)} and dtype {like.dtype}."
    change = "return what came in, normalized; cast the result with .to(inputs.dtype)."
    require(actual.shape == like.shape and actual.dtype == like.dtype, seen, expected, change)


def _require_finite(values: Tensor, what: str) -> None:
    require(
        values.isfinite().all(),
        f"{what} holds NaN or infinity.",
        "finite numbers, for constant inputs too.",
        "add an eps under the square root and in every denominator.",
    )


def _require_gradient(name: str, parameter: nn.Parameter, where: str) -> None:
    if not parameter.requires_grad:
        return
    require(
        parameter.grad is not None,
        f"parameter {name} got no gradient {where}.",
        "parameters that the output depends on.",
        "use it in forward without detach(), make it a buffer, or leave it out.",
    )
    if parameter.grad is not None:
        _require_finite(parameter.grad, f"the gradient of {name} {where}")
