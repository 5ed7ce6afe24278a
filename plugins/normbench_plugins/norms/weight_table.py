"""The norms on offer that act on weights."""

from __future__ import annotations

from normbench import Norm, Parameter, Source

_BEYOND_BATCH_NORM = "Beyond BatchNorm (Lubana, Dick, Tanaka 2021)"


def _eps(name: str, summary: str) -> Parameter:
    return Parameter(
        name=name, kind="float", default=1e-5, summary=summary, unit="weight", low=1e-12
    )


WEIGHT_NORMS = (
    Norm(
        name="weight_norm",
        summary="each output channel's weight divided by its length, then a scaled ReLU",
        source=Source(
            title="Weight Normalization: A Simple Reparameterization to Accelerate Training of "
            "Deep Neural Networks (Salimans, Kingma 2016)",
            reference="arXiv:1602.07868",
            deviations=(
                "ε and the scaled ReLU are those of arXiv:2106.05956.",
                "γ starts at 1: there is no data-dependent initialization.",
                "The scaled ReLU is that of the exact π; the source's own numbers for it were "
                "recorded with π in float32.",
            ),
        ),
        parameters=(
            _eps("eps", "added to the length"),
            Parameter(
                name="scaled_relu",
                kind="bool",
                default=True,
                summary="put √(2π/(π - 1))·(ReLU - √(1/(2π))) in the place of the network's "
                "activation",
            ),
        ),
        factory="normbench_plugins.norms.weight_norm:fit",
    ),
    Norm(
        name="scaled_weight_standardization",
        summary="each output channel's weight with mean 0 and a variance that keeps the input's",
        source=Source(
            title="Characterizing Signal Propagation to Close the Performance Gap in Unnormalized "
            "ResNets (Brock, De, Smith 2021)",
            reference="arXiv:2101.08692",
            deviations=(
                "ε is added to the standard deviation, as in arXiv:2106.05956.",
                "The factors α and β of residual blocks are left out.",
                "g is that of the exact π; the numbers of arXiv:2106.05956's code for the scaled "
                "ReLU were recorded with π in float32.",
            ),
        ),
        parameters=(
            _eps("eps", "added to the standard deviation"),
            Parameter(
                name="gain",
                kind="float",
                default=1.7128585504496627,
                summary="g, which makes up for the activation; √(2π/(π - 1)) for a ReLU",
                low=1e-6,
            ),
        ),
        factory="normbench_plugins.norms.scaled_weight_standardization:fit",
    ),
    Norm(
        name="weight_centering",
        summary="each output channel's weight without its mean",
        source=Source(title=_BEYOND_BATCH_NORM, reference="arXiv:2106.05956"),
        factory="normbench_plugins.norms.weight_centering:fit",
    ),
    Norm(
        name="weight_standardization",
        summary="each output channel's weight with mean 0 and deviation 1, then group norm",
        source=Source(
            title="Micro-Batch Training with Batch-Channel Normalization and Weight "
            "Standardization (Qiao, Wang, Liu, Shen, Yuille 2019)",
            reference="arXiv:1903.10520",
            deviations=(
                "σ is biased, as in the paper; the authors' code divides by the fan-in less one.",
                "8 groups by default, as group_norm here.",
            ),
        ),
        parameters=(
            Parameter(
                name="num_groups",
                kind="int",
                default=8,
                summary="groups of the group norm at every site; must divide its channels",
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
            Parameter(
                name="eps",
                kind="float",
                default=1e-5,
                summary="added to the variance of the activations before the square root",
                unit="input²",
                low=1e-12,
            ),
            _eps("weight_eps", "added to the standard deviation of the weights"),
        ),
        factory="normbench_plugins.norms.weight_standardization:fit",
        centres=True,
    ),
)
