"""The norms on offer that take their statistics from each example alone."""

from __future__ import annotations

from dataclasses import replace

from normbench import Norm, Parameter, Source
from normbench_plugins.norms.common_parameters import EPS, NUM_GROUPS, variance_of

_GROUP_NORM = Norm(
    name="group_norm",
    summary="each example over groups of neighbouring channels and all positions",
    source=Source(
        title="Group Normalization (Wu, He 2018)",
        reference="arXiv:1803.08494",
        deviations=(
            "8 groups by default instead of 32: networks here start at 16 channels.",
            "variance=unbiased and p_grouping are the code of arXiv:2106.05956.",
        ),
    ),
    parameters=(
        NUM_GROUPS,
        Parameter(
            name="group_size",
            kind="int",
            default=None,
            summary="channels in a group; if given, decides instead of num_groups",
            unit="channels",
            low=1,
            optional=True,
        ),
        Parameter(
            name="p_grouping",
            kind="float",
            default=None,
            summary="p > 1: int(p) groups at every site; p <= 1: ceil(channels·p) groups; if "
            "given, decides instead of num_groups",
            low=1e-9,
            optional=True,
        ),
        EPS,
        variance_of("variance of a group"),
    ),
    factory="normbench_plugins.norms.group_norm:fit",
    site_kinds=("conv", "dense"),
    centres=True,
)

_LAYER_NORM = Norm(
    name="layer_norm",
    summary="each example over all channels and positions; scale and shift for each channel",
    source=Source(
        title="Layer Normalization (Ba, Kiros, Hinton 2016)",
        reference="arXiv:1607.06450",
        deviations=("After convolutions γ and β are per channel, as in arXiv:2106.05956.",),
    ),
    parameters=(EPS,),
    factory="normbench_plugins.norms.layer_norm:fit",
    site_kinds=("conv", "dense", "sequence"),
    centres=True,
)

_INSTANCE_NORM = Norm(
    name="instance_norm",
    summary="each channel of each example over its positions",
    source=Source(
        title="Instance Normalization: The Missing Ingredient for Fast Stylization "
        "(Ulyanov, Vedaldi, Lempitsky 2016)",
        reference="arXiv:1607.08022",
    ),
    parameters=(EPS,),
    factory="normbench_plugins.norms.instance_norm:fit",
    site_kinds=("conv",),
    centres=True,
)

_RMS_NORM = Norm(
    name="rms_norm",
    summary="each example by its root mean square over all channels and positions; no shift",
    source=Source(
        title="Root Mean Square Layer Normalization (Zhang, Sennrich 2019)",
        reference="arXiv:1910.07467",
        deviations=("After convolutions γ is per channel, as in layer_norm.",),
    ),
    parameters=(replace(EPS, summary="added to the mean square before the square root"),),
    factory="normbench_plugins.norms.rms_norm:fit",
    site_kinds=("conv", "dense", "sequence"),
)

EXAMPLE_NORMS = (
    _GROUP_NORM,
    _LAYER_NORM,
    _INSTANCE_NORM,
    _RMS_NORM,
)
