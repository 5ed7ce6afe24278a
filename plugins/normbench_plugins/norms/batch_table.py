"""The norms on offer that use the batch in training and running statistics in evaluation."""

from __future__ import annotations

from dataclasses import replace

from normbench import Norm, Parameter, Source
from normbench_plugins.norms.common_parameters import EPS, MOMENTUM

_BATCH_NORM = Norm(
    name="batch_norm",
    summary="each channel over the batch and all positions; running statistics in evaluation",
    source=Source(
        title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
        "Covariate Shift (Ioffe, Szegedy 2015)",
        reference="arXiv:1502.03167",
        deviations=(
            "scale_init is from arXiv:2110.13989; running_mean_init=1 with "
            "running_variance=biased is the code of arXiv:2106.05956.",
        ),
    ),
    parameters=(
        EPS,
        MOMENTUM,
        Parameter(
            name="scale_init",
            kind="float",
            default=1.0,
            summary="initial γ; where ablation.scale_init is given, that decides",
            low=1e-6,
        ),
        Parameter(
            name="running_mean_init",
            kind="float",
            default=0.0,
            summary="what the running mean starts at",
            unit="input",
        ),
        Parameter(
            name="running_variance",
            kind="str",
            default="unbiased",
            summary="estimate that the running variance keeps: unbiased as in torch, biased as in "
            "Keras; the batch itself is normalized by the biased one",
            choices=("unbiased", "biased"),
        ),
    ),
    factory="normbench_plugins.norms.batch_norm:fit",
    site_kinds=("conv", "dense", "sequence"),
    centres=True,
)

_GHOST_BATCH_NORM = Norm(
    name="ghost_batch_norm",
    summary="each channel over parts of the batch and all positions",
    source=Source(
        title="Train Longer, Generalize Better: Closing the Generalization Gap in Large Batch "
        "Training of Neural Networks (Hoffer, Hubara, Soudry 2017)",
        reference="arXiv:1705.08741",
        deviations=("32 examples in a ghost by default instead of 128, the batch size here.",),
    ),
    parameters=(
        Parameter(
            name="virtual_batch_size",
            kind="int",
            default=32,
            summary="examples in a ghost; the last one holds what is left of the batch",
            unit="examples",
            low=1,
        ),
        EPS,
        MOMENTUM,
    ),
    factory="normbench_plugins.norms.ghost_batch_norm:fit",
    site_kinds=("conv", "dense", "sequence"),
    centres=True,
)


def _step(name: str, default: int, summary: str) -> Parameter:
    return Parameter(
        name=name, kind="int", default=default, summary=summary, unit="training steps", low=0
    )


_BATCH_RENORM = Norm(
    name="batch_renorm",
    summary="batch norm corrected towards the running statistics, within limits that grow",
    source=Source(
        title="Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized "
        "Models (Ioffe 2017)",
        reference="arXiv:1702.03275",
    ),
    parameters=(
        EPS,
        replace(MOMENTUM, default=0.01),
        Parameter(
            name="r_max", kind="float", default=3.0, summary="final limit on r and 1/r", low=1.0
        ),
        Parameter(
            name="d_max", kind="float", default=5.0, summary="final limit on the size of d", low=0.0
        ),
        _step("plain_steps", 5000, "steps that are plain batch norm"),
        _step("r_ramp_steps", 35000, "steps after those until r_max is reached; 0: at once"),
        _step("d_ramp_steps", 20000, "steps after those until d_max is reached; 0: at once"),
    ),
    factory="normbench_plugins.norms.batch_renorm:fit",
    site_kinds=("conv", "dense", "sequence"),
    centres=True,
)

_VARIANCE_NORM = Norm(
    name="variance_norm",
    summary="batch norm that divides by the deviation without subtracting the mean",
    source=Source(
        title="Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning "
        "(Lubana, Dick, Tanaka 2021)",
        reference="arXiv:2106.05956",
    ),
    parameters=(EPS, MOMENTUM),
    factory="normbench_plugins.norms.variance_norm:fit",
    site_kinds=("conv", "dense", "sequence"),
)

_MEAN_CENTERING = Norm(
    name="mean_centering",
    summary="batch norm that subtracts the mean without dividing; a shift, no scale",
    source=Source(
        title="Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep "
        "Neural Networks (Salimans, Kingma 2016), mean-only batch normalization",
        reference="arXiv:1602.07868",
        deviations=("It stands alone here; the paper combines it with weight normalization.",),
    ),
    parameters=(MOMENTUM,),
    factory="normbench_plugins.norms.mean_centering:fit",
    site_kinds=("conv", "dense", "sequence"),
    centres=True,
)

_SWITCHABLE_NORM = Norm(
    name="switchable_norm",
    summary="a learned mixture of the statistics of instance, layer and batch norm",
    source=Source(
        title="Differentiable Learning-to-Normalize via Switchable Normalization "
        "(Luo, Ren, Peng, Zhang, Li 2019)",
        reference="arXiv:1806.10779",
        deviations=(
            "Evaluation uses running statistics, not an average over further passes.",
            "All variances are biased, as in the paper; its code has an unbiased one.",
        ),
    ),
    parameters=(EPS, MOMENTUM),
    factory="normbench_plugins.norms.switchable_norm:fit",
    centres=True,
)

BATCH_NORMS = (
    _BATCH_NORM,
    _GHOST_BATCH_NORM,
    _BATCH_RENORM,
    _VARIANCE_NORM,
    _MEAN_CENTERING,
    _SWITCHABLE_NORM,
)
