"""The norms on offer that bring or contain a nonlinearity."""

from __future__ import annotations

from dataclasses import replace

from normbench import Norm, Parameter, Source
from normbench_plugins.norms.common_parameters import (
    EPS,
    MOMENTUM,
    NUM_GROUPS,
    PLACEMENT,
    variance_of,
)

_FILTER_RESPONSE_NORM = Norm(
    name="filter_response_norm",
    summary="each channel of each example by its root mean square; a thresholded linear unit",
    source=Source(
        title="Filter Response Normalization Layer: Eliminating Batch Dependence in the Training "
        "of Deep Neural Networks (Singh, Krishnan 2020)",
        reference="arXiv:1911.09737",
        deviations=("learn_eps with eps=1e-5 is the code of arXiv:2106.05956.",),
    ),
    parameters=(
        replace(EPS, default=1e-6, summary="added to the mean square before the square root"),
        Parameter(
            name="learn_eps",
            kind="bool",
            default=False,
            summary="let one eps for each site train, from the value given; its size is added",
        ),
    ),
    factory="normbench_plugins.norms.filter_response_norm:fit",
    site_kinds=("conv",),
)

_EVONORM = Source(
    title="Evolving Normalization-Activation Layers (Liu, Brock, Simonyan, Le 2020)",
    reference="arXiv:2004.02967",
)
_AS_IN_CODE = "variance=unbiased with placement=after_addition is the code of arXiv:2106.05956."

_EVONORM_B0 = Norm(
    name="evonorm_b0",
    summary="normalization and nonlinearity in one, from the batch; running variance in evaluation",
    source=replace(_EVONORM, deviations=(_AS_IN_CODE,)),
    parameters=(EPS, MOMENTUM, variance_of("variance of a channel of an example"), PLACEMENT),
    factory="normbench_plugins.norms.evonorm_b0:fit",
)

_EVONORM_S0 = Norm(
    name="evonorm_s0",
    summary="normalization and nonlinearity in one, from groups of channels of each example",
    source=replace(
        _EVONORM,
        deviations=(
            "8 groups by default instead of 32: networks here start at 16 channels.",
            _AS_IN_CODE,
        ),
    ),
    parameters=(NUM_GROUPS, EPS, variance_of("variance of a group"), PLACEMENT),
    factory="normbench_plugins.norms.evonorm_s0:fit",
)

NONLINEAR_NORMS = (_FILTER_RESPONSE_NORM, _EVONORM_B0, _EVONORM_S0)
