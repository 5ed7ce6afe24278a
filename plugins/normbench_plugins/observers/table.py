"""The observers on offer. Formulas stand in the modules of the same names."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Measure, Observer, Source, hookimpl

_ACTIVATIONS = (
    Measure(
        name="activation_name",
        dims=("activation",),
        fixed=True,
        summary="module behind whose output each activation is, in forward order",
    ),
    Measure(
        name="activation_site",
        dims=("activation",),
        fixed=True,
        summary="norm site that it follows; -1 for none",
    ),
    Measure(
        name="activation_variance",
        dims=("activation",),
        unit="activation²",
        summary="mean over channels of the unbiased variance over examples and positions",
    ),
    Measure(
        name="activation_norm",
        dims=("activation",),
        unit="activation",
        summary="mean over examples of the Euclidean norm of all numbers of an example",
    ),
    Measure(
        name="cosine_similarity",
        dims=("activation",),
        summary="mean cosine between the activations of two different examples",
    ),
    Measure(
        name="stable_rank",
        dims=("activation",),
        summary="N / largest eigenvalue of the Gram matrix of the N examples' directions",
    ),
    Measure(
        name="layer_name",
        dims=("layer",),
        fixed=True,
        summary="convolution or linear layer, in forward order",
    ),
    Measure(
        name="layer_site",
        dims=("layer",),
        fixed=True,
        summary="norm site that it feeds; -1 for none",
    ),
    Measure(
        name="output_std",
        dims=("layer",),
        unit="layer output",
        summary="mean over channels of the unbiased standard deviation before the norm",
    ),
    Measure(
        name="gradient_norm",
        dims=("layer",),
        unit="loss / layer output",
        summary="Frobenius norm of the gradient of the mean loss at the layer's output",
    ),
    Measure(
        name="channel_layer",
        dims=("channel",),
        fixed=True,
        summary="position along 'layer' of the layer that each channel belongs to",
    ),
    Measure(
        name="channel_std",
        dims=("channel",),
        unit="layer output",
        summary="unbiased standard deviation of each channel before the norm",
    ),
)


def _trajectory(name: str, what: str) -> tuple[Measure, ...]:
    dim = f"{name}_channel"
    return (
        Measure(
            name=f"{name}_parameter",
            dims=(dim,),
            fixed=True,
            summary=f"parameter that each {what} is a number of",
        ),
        Measure(name=f"{name}_site", dims=(dim,), fixed=True, summary="its norm site; -1 for none"),
        Measure(
            name=f"{name}_index", dims=(dim,), fixed=True, summary="its channel, from 0 at each"
        ),
        Measure(name=name, dims=(dim,), summary=f"value of each {what}"),
    )


_SPHERES = (
    Measure(
        name="weight_name",
        dims=("weight",),
        fixed=True,
        summary="scale-invariant weight, in the order of its norm sites",
    ),
    Measure(name="weight_site", dims=("weight",), fixed=True, summary="its norm site"),
    Measure(
        name="learning_rate",
        dims=("weight",),
        unit="optimizer's own",
        summary="learning rate η of the step just done; before the first step, of that",
    ),
    Measure(
        name="sphere_weight",
        dims=("sphere",),
        fixed=True,
        summary="position along 'weight' of the weight that each sphere belongs to",
    ),
    Measure(name="sphere_index", dims=("sphere",), fixed=True, summary="its number in that weight"),
    Measure(name="weight_norm", dims=("sphere",), unit="weight", summary="radius r = ‖w‖"),
    Measure(
        name="effective_learning_rate",
        dims=("sphere",),
        summary="learning rate on the unit sphere: η / r², over the optimizer's divisor",
    ),
    Measure(
        name="angle",
        dims=("sphere",),
        unit="rad",
        summary="angle turned since the last moment; 0 at the first",
    ),
)

OBSERVERS = (
    Observer(
        name="activations",
        summary="spread, rank, likeness and gradients of the activations of every layer",
        source=Source(
            title="Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep "
            "Learning (Lubana, Dick, Tanaka 2021)",
            reference="arXiv:2106.05956",
            deviations=(
                "What the source calls the activation norm is activation_variance here; "
                "activation_norm is the norm that it leaves out.",
                "An example without any activation has no direction: its cosines are 0, where the "
                "source's are not numbers.",
                "Linear layers and every activation are observed, in pre-activation blocks too.",
                "A fixed batch is passed once, in place of the training batch of each step.",
            ),
        ),
        measures=_ACTIVATIONS,
        factory="normbench_plugins.observers.activations:Activations",
    ),
    Observer(
        name="norm_parameters",
        summary="γ and β of every channel at every norm site, and the biases without a norm",
        source=Source(
            title="DissectBatchNorm",
            reference="code on DeepOBS 1.2",
            deviations=("Read behind the optimizer's step, where the source reads before it.",),
        ),
        measures=(
            *_trajectory("gamma", "scale γ"),
            *_trajectory("beta", "shift β"),
            *_trajectory("bias", "bias of a layer whose site has no shift"),
        ),
        factory="normbench_plugins.observers.norm_parameters:NormParameters",
    ),
    Observer(
        name="spheres",
        summary="norm, effective learning rate and turning of every scale-invariant weight",
        source=Source(
            title="Spherical Perspective on Learning with Normalization Layers (Roburin et al. "
            "2022)",
            reference="arXiv:2006.13382",
            deviations=(
                "The effective learning rate is its leading term; the source's factor "
                "1 + O(effective learning rate) is left out.",
            ),
        ),
        measures=_SPHERES,
        factory="normbench_plugins.observers.spheres:SphereMotion",
    ),
)


@hookimpl
def normbench_observers() -> Sequence[Observer]:
    """Offer the built-in observers."""
    return OBSERVERS
