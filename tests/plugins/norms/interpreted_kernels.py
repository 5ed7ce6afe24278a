"""Run the kernels of group norms in Triton's interpreter, on the processor; print what they gave.

A program of its own, since the interpreter has to be chosen before Triton is imported. It cuts
float32 off to bfloat16 where a GPU rounds, so such results are a place further off here.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor

from normbench_plugins.norms import GroupNorm, fused_groups
from normbench_plugins.norms.grouped import _apply

# Shape, groups, dtype, and what differs from a centring norm with a trained scale and shift.
CASES = {
    "pairs": ((2, 16, 4, 4), 8, "float32", {}),
    "three_groups_of_four": ((2, 12, 5, 3), 3, "float32", {"mean": 30.0}),
    "odd_channels_alone": ((1, 7, 3, 3), 7, "float32", {"trained": ("x", "scale")}),
    "one_group_of_fifteen": ((2, 15, 3, 3), 1, "float32", {"factor": 1.1}),
    "one_position": ((3, 64, 1, 1), 4, "float32", {"trained": ("x",)}),
    "wide_groups": ((2, 160, 3, 3), 2, "float32", {"trained": ("scale", "shift")}),
    "no_positions": ((4, 48), 4, "float32", {}),
    "several_tiles": ((1, 4, 90, 97), 2, "float32", {"mean": 30.0}),
    "uncentred": ((2, 12, 5, 3), 3, "float32", {"centre": False, "affine": False}),
    "trained_eps": ((2, 6, 5, 3), 6, "float32", {"centre": False, "eps": 0.5}),
    "trained_eps_centred": ((2, 6, 5, 3), 2, "float32", {"eps": 0.5, "affine": False}),
    "bfloat16": ((2, 24, 5, 5), 2, "bfloat16", {}),
    "float16": ((2, 24, 5, 5), 8, "float16", {"centre": False}),
}


def values(shape: tuple[int, ...], dtype: str, mean: float = 1.0) -> dict[str, Tensor]:
    """Return input, gradient from above, scale and shift, channels_last."""
    generator = torch.Generator().manual_seed(0)
    x, above = torch.randn(2, *shape, generator=generator)
    scale, shift = torch.randn(2, shape[1], generator=generator)
    x, above = (each.to(getattr(torch, dtype)) for each in (2 * x + mean, above))
    if len(shape) == 4:
        x, above = (each.to(memory_format=torch.channels_last) for each in (x, above))
    return {"x": x, "above": above, "scale": scale, "shift": shift}


def step(
    given: dict[str, Tensor],
    groups: int,
    *,
    centre: bool = True,
    factor: float = 1.0,
    affine: bool = True,
    eps: float | None = None,
    trained: tuple[str, ...] = ("x", "scale", "shift"),
) -> dict[str, Tensor]:
    """Return the output and each gradient of a norm over *groups*; a given *eps* trains."""
    given = {name: value.detach().clone() for name, value in given.items()}
    if not affine:
        given = {"x": given["x"], "above": given["above"]}
    if eps is not None:
        given["eps"] = torch.full(
            (1,), eps, dtype=torch.promote_types(given["x"].dtype, torch.float)
        )
    asked = [name for name in given if name == "eps" or name in trained]
    for name in asked:
        given[name].requires_grad_()
    affine_part = (given.get("scale"), given.get("shift"))
    outputs = _apply(given["x"], *affine_part, given.get("eps", 1e-5), groups, centre, factor)
    gradients = torch.autograd.grad(outputs, [given[name] for name in asked], given["above"])
    return {"outputs": outputs.detach(), **dict(zip(asked, gradients, strict=True))}


def exact(given: dict[str, Tensor], groups: int, **how: object) -> dict[str, Tensor]:
    """Return what the plain code gives in float64."""
    return step({name: value.double() for name, value in given.items()}, groups, **how)


def errors(results: dict[str, Tensor], true: dict[str, Tensor]) -> dict[str, float]:
    """Return the largest error of each result, in units of the last place of its largest value."""
    return {
        name: (
            (value.double() - true[name]).abs().max()
            / true[name].abs().max()
            / torch.finfo(value.dtype).eps
        ).item()
        for name, value in results.items()
    }


def outcome(name: str) -> dict[str, object]:
    """Return what a case gave, for a test to judge."""
    shape, groups, dtype, how = CASES[name]
    how = dict(how)
    given = values(shape, dtype, how.pop("mean", 1.0))
    first, again = step(given, groups, **how), step(given, groups, **how)
    one = {key: value[:1] if key in ("x", "above") else value for key, value in given.items()}
    alone = step(one, groups, **how)
    kept = [first[key] for key in ("outputs", "x") if key in first]
    return {
        "fused": fused_groups.is_fused(given["x"], groups),
        "errors": errors(first, exact(given, groups, **how)),
        "repeats": all(torch.equal(first[key], again[key]) for key in first),
        "alone": torch.equal(first["outputs"][:1], alone["outputs"]),
        "strides_kept": all(each.stride() == given["x"].stride() for each in kept),
        "dtype_kept": all(each.dtype == given["x"].dtype for each in kept),
    }


def second_derivatives() -> list[float]:
    """Return how far second derivatives are from those of the plain code, relatively."""
    norm, found = GroupNorm(12, 3), []
    for devices in ({"cpu"}, {"cuda"}):
        fused_groups.DEVICES = frozenset(devices)
        x = values((2, 12, 2, 2), "float32")["x"].requires_grad_()
        (gradient,) = torch.autograd.grad(norm(x).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(gradient.pow(2).sum(), (x, *norm.parameters())))
    return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*found, strict=True)]


def compiled() -> list[float]:
    """Return how far a compiled step is from the eager one, compiled without a break."""
    norm, x = GroupNorm(12, 3), values((2, 12, 3, 3), "float32")["x"].requires_grad_()

    def loss(inputs: Tensor) -> Tensor:
        return torch.relu(norm(inputs * 2)).square().sum()

    other = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=False)
    wanted = (x, *norm.parameters())
    both = [torch.autograd.grad(each(x), wanted) for each in (loss, other)]
    return [(a - b).abs().max().item() for a, b in zip(*both, strict=True)]


def checked_operators() -> list[str]:
    """Return torch's own findings on the operators: schema, and shapes and layouts announced."""
    given = values((2, 12, 3, 3), "float32")
    x, scale, above = given["x"], given["scale"], given["above"]
    operators = torch.ops.normbench
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    found = []
    for centre, affine in ((True, True), (False, False)):
        first = (x, scale, given["shift"], None, 1e-5, 3, centre, 1.0)
        _, means, inverses = operators.normalise_groups(*first)
        second = (above, x, scale, means, inverses, 3, centre, 1.0, affine)
        found += torch.library.opcheck(
            operators.normalise_groups, first, test_utils=checks
        ).values()
        found += torch.library.opcheck(
            operators.differentiate_groups, second, test_utils=checks
        ).values()
    return found


def refusals() -> list[str | None]:
    """Return what a first try-out says, and what it says of kernels that compute amiss."""
    kernels = importlib.import_module("normbench_plugins.norms.group_kernels")
    here, right = torch.device("cpu"), (kernels.launch_normalise, kernels.launch_differentiate)

    def amiss(number: int, spoil: Callable[[Tensor], object]) -> str | None:
        def launch(*given: object) -> tuple[Tensor, ...]:
            results: tuple[Tensor, ...] = right[number](*given)
            spoil(results[0])
            return results

        name = right[number].__name__
        setattr(kernels, name, launch)
        try:
            return fused_groups._refusal(here)
        finally:
            setattr(kernels, name, right[number])

    return [
        fused_groups._refusal(here),
        amiss(0, lambda outputs: outputs[1, 9, 2, 2].add_(1e-3)),
        amiss(1, lambda toward: toward[0, 0, 0, 0].fill_(math.nan)),
    ]


def imported_on_the_processor() -> list[str]:
    """Return what a norm that computes on the processor has had to import, and should not."""
    GroupNorm(8, 4)(values((2, 8, 3, 3), "float32")["x"])
    return [name for name in ("triton", "torch._dynamo") if name in sys.modules]


if __name__ == "__main__":
    torch.set_num_threads(1)
    imported = imported_on_the_processor()
    fused_groups.DEVICES = frozenset({"cpu"})
    fused_groups._working[0] = True
    report = {
        "imported": imported,
        "cases": {name: outcome(name) for name in CASES},
        "compiled": compiled(),
        "operators": checked_operators(),
        "second derivatives": second_derivatives(),
        "refusals": refusals(),
    }
    json.dump(report, sys.stdout)
