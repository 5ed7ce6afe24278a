"""The norms on offer."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Norm, Parameter, Source, hookimpl

_EPS = Parameter(
    name="eps",
    kind="float",
    default=1e-5,
    summary="added to the variance before the square root",
    unit="input²",
    low=1e-12,
)

NORMS = (
    Norm(
        name="none",
        summary="no norm: the activations pass unchanged",
        site_kinds=("conv", "dense", "sequence"),
        factory="normbench_plugins.norms.none:fit",
    ),
    Norm(
        name="batch_norm",
        summary="each channel over the batch and all positions; running statistics in evaluation",
        source=Source(
            title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
            "Covariate Shift (Ioffe, Szegedy 2015)",
            reference="arXiv:1502.03167",
        ),
        parameters=(
            _EPS,
            Parameter(
                name="momentum",
                kind="float",
                default=0.1,
                summary="m in running = (1 - m)·running + m·batch",
                low=0.0,
                high=1.0,
            ),
        ),
        factory="normbench_plugins.norms.batch_norm:fit",
        site_kinds=("conv", "dense", "sequence"),
        centres=True,
    ),
    Norm(
        name="group_norm",
        summary="each example over groups of neighbouring channels and all positions",
        source=Source(
            title="Group Normalization (Wu, He 2018)",
            reference="arXiv:1803.08494",
            deviations=("8 groups by default instead of 32: networks here start at 16 channels.",),
        ),
        parameters=(
            Parameter(
                name="num_groups",
                kind="int",
                default=8,
                summary="groups at every site; must divide its channels",
                unit="groups",
                low=1,
            ),
            Parameter(
                name="group_size",
                kind="int",
                default=None,
                summary="channels in a group; if given, decides instead of num_groups",
                unit="channels",
                low=1,
                optional=True,
            ),
            _EPS,
        ),
        factory="normbench_plugins.norms.group_norm:fit",
        site_kinds=("conv", "dense"),
        centres=True,
    ),
    Norm(
        name="layer_norm",
        summary="each example over all channels and positions; scale and shift for each channel",
        source=Source(
            title="Layer Normalization (Ba, Kiros, Hinton 2016)",
            reference="arXiv:1607.06450",
            deviations=("After convolutions γ and β are per channel, as in arXiv:2106.05956.",),
        ),
        parameters=(_EPS,),
        factory="normbench_plugins.norms.layer_norm:fit",
        site_kinds=("conv", "dense", "sequence"),
        centres=True,
    ),
    Norm(
        name="instance_norm",
        summary="each channel of each example over its positions",
        source=Source(
            title="Instance Normalization: The Missing Ingredient for Fast Stylization "
            "(Ulyanov, Vedaldi, Lempitsky 2016)",
            reference="arXiv:1607.08022",
        ),
        parameters=(_EPS,),
        factory="normbench_plugins.norms.instance_norm:fit",
        site_kinds=("conv",),
        centres=True,
    ),
)


@hookimpl
def normbench_norms() -> Sequence[Norm]:
    """Offer the built-in norms."""
    return NORMS
