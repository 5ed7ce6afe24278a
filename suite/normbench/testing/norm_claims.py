"""Checks of what a norm's description and fittings claim: sites, roles, invariances, ranges."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Norm, SiteKind
from normbench.errors import PluginError, UsageError
from normbench.roles import Role
from normbench.testing.checking import ContractError, require
from normbench.testing.placing import Placed, draw_scales, place
from normbench.testing.ranges import range_to_add, values_to_try

# Weights so large that whatever is added to a variance or a length does not count.
_LARGE = 1e3


def fits_every_site_kind(norm: Norm) -> None:
    """A norm fits each kind of site it declares, before an activation, a sum, or neither."""
    for kind in norm.site_kinds:
        for follows in ("activation", "sum", "nothing"):
            try:
                placed = place(norm, kind, follows=follows)
            except PluginError:
                raise
            except UsageError as error:
                raise ContractError(
                    f"with its defaults it refuses a {kind} site of 16, 32 and 64 channels: "
                    f"{error}",
                    "a Fitting for one of them.",
                    f"choose defaults that fit, or take {kind!r} out of site_kinds.",
                ) from error
            outputs = placed.network(placed.inputs())
            require(
                outputs.isfinite().all(),
                f"at a {kind} site with {follows} behind it the output is not finite.",
                "finite numbers for inputs drawn from N(0, 1).",
                "look for divisions by 0 and for uninitialized parameters.",
            )


def gives_every_parameter_a_role(norm: Norm) -> None:
    """Every parameter has a role, so that weight decay and ablations know it."""
    for kind in norm.site_kinds:
        place(norm, kind)  # describes the network, and the message says what to declare


def shows_its_shift_and_scale(norm: Norm) -> str | None:
    """A norm_scale multiplies the output and a norm_shift is added to it."""
    placed = place(norm, norm.site_kinds[0], follows="nothing")
    roles = {info.role: info.parameter for info in placed.built.parameters}
    if Role.NORM_SHIFT not in roles or placed.fitting.weight is not None:
        return "it has no shift on the activations"
    inputs = placed.activations()
    with torch.no_grad():
        roles[Role.NORM_SHIFT].zero_()
        if Role.NORM_SCALE in roles:
            roles[Role.NORM_SCALE].zero_()
    rest = placed.fitting.norm(inputs)
    require(
        Role.NORM_SCALE not in roles or not rest.any(),
        "with every norm_scale and norm_shift at 0 the output is not 0.",
        "norm_scale: γ, which multiplies the normalized input; norm_shift: β, which is added.",
        "declare other parameters as Role.NORM_OTHER; ablations set γ and β to fixed values.",
    )
    return None


def claimed_invariance_holds(norm: Norm) -> None:
    """Each group of output channels that Fitting.groups names may be rescaled."""
    for kind in norm.site_kinds:
        placed = _invariant(norm, kind)
        if placed is None:
            continue
        groups = placed.fitting.groups
        features = len(_weight(placed))
        require(
            groups is not None and features % groups == 0,
            f"Fitting.groups is {groups} for {features} output channels.",
            "a divisor of the channels.",
            "count the groups of channels that share a statistic.",
        )
        require(
            _unchanged(placed, groups or 1),
            f"at a {kind} site Fitting.groups={groups}, but rescaling each of these groups of "
            "output channels of the feeding weight changes the output.",
            "an output that stays as it was.",
            "set groups=None if there is no such invariance; 1 if only the whole weight may be "
            "rescaled. Spherical optimizers rely on it.",
        )


def claims_all_of_its_invariance(norm: Norm) -> None:
    """Where single channels or the whole weight may be rescaled, Fitting.groups says so."""
    for kind in norm.site_kinds:
        placed = _invariant(norm, kind, claimed=False)
        if placed is None or placed.fitting.groups == len(_weight(placed)):
            continue
        features, claimed = len(_weight(placed)), placed.fitting.groups
        finer = features if _unchanged(placed, features) else None
        if finer is None and claimed is None and _unchanged(placed, 1):
            finer = 1
        require(
            finer is None,
            f"at a {kind} site Fitting.groups={claimed}, but {finer} group(s) of output channels "
            "may be rescaled without changing the output.",
            "the finest grouping that leaves the output unchanged.",
            f"return Fitting(..., groups={'site.features' if finer == features else finer}).",
        )


def centres_as_it_says(norm: Norm) -> None:
    """A number added to every input changes nothing if the norm centres, and something if not."""
    for kind in norm.site_kinds:
        placed = place(norm, kind)
        draw_scales(placed)
        pair = placed.pair.double()
        inputs = 10.0 * placed.activations().double()
        unchanged = torch.allclose(pair(inputs + 500.0), pair(inputs), rtol=1e-5, atol=1e-4)
        require(
            norm.centres == unchanged,
            f"Norm.centres is {norm.centres}, but at a {kind} site the output "
            f"{'stays' if unchanged else 'changes'} when 500 is added to every input.",
            "centres=True exactly if a common shift of the input has no effect; networks then "
            "drop the bias before the norm.",
            f"set centres={unchanged} in the description"
            f"{'.' if unchanged else ', or subtract the mean in forward.'}",
        )


def refuses_what_it_cannot_do(norm: Norm) -> None:
    """Each value that a parameter allows computes finite numbers, or a UsageError refuses it."""
    for parameter in norm.parameters:
        for value in values_to_try(parameter):
            try:
                outputs = _trained_and_evaluated(norm, {parameter.name: value})
            except UsageError:
                continue
            require(
                all(output.isfinite().all() for output in outputs),
                f"norm.{parameter.name}={value} is accepted, and the output is not finite.",
                "finite numbers, or a UsageError that says what to give instead.",
                range_to_add(parameter, value),
            )


def _trained_and_evaluated(norm: Norm, parameters: dict[str, Any]) -> list[Tensor]:
    placed = place(norm, norm.site_kinds[0], parameters=parameters)
    training = placed.network(placed.inputs())
    return [training, placed.network.eval()(placed.inputs())]


def _invariant(norm: Norm, kind: SiteKind, *, claimed: bool = True) -> Placed | None:
    """Return the norm behind a large weight without a bias; None if it is not to be looked at."""
    placed = place(norm, kind, bias="never")
    acted_on = placed.fitting.weight is not None or kind != "sequence"
    if not acted_on or (claimed and placed.fitting.groups is None):
        return None
    draw_scales(placed)
    placed.front.register_parameter("bias", None)
    placed.network.double()
    with torch.no_grad():
        _weight(placed).mul_(_LARGE)
    return placed


def _weight(placed: Placed) -> nn.Parameter:
    """Return the trained weight that the norm makes scale invariant, output channels first."""
    weights = [info for info in placed.built.parameters if info.role is Role.WEIGHT]
    chosen = [info.parameter for info in weights if info.invariance is not None]
    return (chosen or [info.parameter for info in weights])[0]


def _unchanged(placed: Placed, groups: int) -> bool:
    """Whether the output stays when each of *groups* equal groups of channels is rescaled."""
    weight, inputs = _weight(placed), placed.inputs()
    before = weight.detach().clone()
    with torch.no_grad():
        expected = placed.network(inputs)
        # Neighbours far apart: two channels that share a statistic may withstand similar factors.
        factors = 4.0 ** (1 - torch.arange(groups, dtype=torch.float64) % 3)
        weight.view(groups, -1).mul_(factors[:, None])
        actual = placed.network(inputs)
        weight.copy_(before)
    return torch.allclose(actual, expected, rtol=1e-5, atol=1e-5)
