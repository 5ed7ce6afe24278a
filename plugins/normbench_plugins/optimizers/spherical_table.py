"""The optimizers on spheres. Their searches are around and within what their paper's runs used."""

from __future__ import annotations

from normbench import Optimizer, Parameter, Search, Source
from normbench_plugins.optimizers.parameters import COUPLED, eps, momentum, rate

_PAPER = "Spherical Perspective on Learning with Normalization Layers (Roburin et al. 2022)"
_LICENCE = "MIT (code at github.com/ymontmarin/adamsrt)"
_GRADIENT_KEPT = "Weight decay is added to a copy of the gradient; the code alters the gradient."
_TRUE_SPHERES = (
    "By default the spheres are the slices that the norm makes scale invariant; the code takes "
    "each output channel of a convolution, as channel_dims=0 does."
)
_ZERO = "A sphere that is exactly 0 has no direction; its transported moments restart from 0."


def _beta(name: str, default: float, summary: str, *choices: float) -> Parameter:
    search = Search(scale="choice", choices=choices) if choices else None
    return Parameter(
        name=name,
        kind="float",
        default=default,
        summary=summary,
        low=0.0,
        high=0.999999,
        search=search,
    )


_WEIGHT_DECAY = Parameter(
    name=COUPLED.name,
    kind="float",
    default=COUPLED.default,
    summary=COUPLED.summary,
    low=0.0,
    search=Search(scale="choice", choices=(0.0, *(5e-4 / 2**k for k in range(7)))),
)
_DECOUPLED = Parameter(
    name="decoupled",
    kind="bool",
    default=False,
    summary="let weight decay multiply a weight by 1 - η·λ before each step instead",
)
_CHANNEL_DIMS = Parameter(
    name="channel_dims",
    kind="ints",
    default=None,
    summary="dimensions that number the spheres of each scale-invariant weight: 0 for output "
    "channels, [] for one sphere; null: what the norm makes invariant",
    low=0,
    optional=True,
)
_SHARED = (_WEIGHT_DECAY, _DECOUPLED, _CHANNEL_DIMS)
_ADAM = (
    _beta("beta1", 0.9, "decay of the running mean of gradients"),
    _beta("beta2", 0.999, "decay of the running mean of squared gradients", 0.9, 0.99, 0.999),
    eps(),
    *_SHARED,
)
_PLACE = "normbench_plugins.optimizers"

OPTIMIZERS = (
    Optimizer(
        name="adam_s",
        summary="Adam with one second moment for each sphere of scale-invariant weights",
        source=Source(
            title=_PAPER,
            reference="arXiv:2006.13382",
            licence=_LICENCE,
            deviations=(_TRUE_SPHERES, _GRADIENT_KEPT),
        ),
        parameters=(rate(0.001), *_ADAM),
        factory=f"{_PLACE}.adam_s:adam_s",
        capturable=True,
        elementwise=False,
    ),
    Optimizer(
        name="adam_srt",
        summary="AdamS with moments rescaled and transported along the spheres",
        source=Source(
            title=_PAPER,
            reference="arXiv:2006.13382",
            licence=_LICENCE,
            deviations=(_TRUE_SPHERES, _GRADIENT_KEPT, _ZERO),
        ),
        parameters=(rate(0.001), *_ADAM),
        factory=f"{_PLACE}.adam_srt:adam_srt",
        capturable=True,
        elementwise=False,
    ),
    Optimizer(
        name="sgd_mrt",
        summary="SGD with momentum rescaled and transported along the spheres",
        source=Source(
            title=_PAPER,
            reference="arXiv:2006.13382",
            licence=_LICENCE,
            deviations=(
                _TRUE_SPHERES,
                _GRADIENT_KEPT,
                _ZERO,
                "The default momentum is 0.9, as in the paper's runs; in the code it is 0.",
            ),
        ),
        parameters=(
            rate(0.1),
            momentum(0.9),
            Parameter(
                name="dampening",
                kind="float",
                default=0.0,
                summary="τ: a gradient enters the buffer times 1 - τ, in the first step too",
                low=0.0,
                high=1.0,
            ),
            *_SHARED,
        ),
        factory=f"{_PLACE}.sgd_mrt:sgd_mrt",
        capturable=True,
        elementwise=False,
    ),
    Optimizer(
        name="adam_g",
        summary="Adam on unit spheres of scale-invariant weights",
        source=Source(
            title="Riemannian Approach to Batch Normalization (Cho, Lee 2017)",
            reference="arXiv:1709.09603",
            licence=_LICENCE,
            deviations=(
                "It steps in a straight line and renormalizes, as Roburin et al. (2022) simplified "
                "it: no projected gradient, no geodesic, no clipping.",
                "Their code has its two branches swapped, so convolutions get plain Adam and all "
                "other parameters are normalized; here the spheres are, as they describe it.",
                _TRUE_SPHERES,
                _GRADIENT_KEPT,
                _ZERO,
            ),
        ),
        parameters=(rate(0.01), *_ADAM),
        factory=f"{_PLACE}.adam_g:adam_g",
        capturable=True,
        elementwise=False,
    ),
)
