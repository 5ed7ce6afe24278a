"""The optimizers on offer.

The default learning rates of ``momentum`` and ``nesterov`` are a tenth of that of ``sgd``: at
μ = 0.9 all three then move equally far along a constant gradient. Each learning rate is searched
over two decades to either side of its default.
"""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Optimizer, Parameter, Search, Source, hookimpl

_BELOW_ONE = 0.999999


def _lr(default: float) -> Parameter:
    return Parameter(
        name="lr",
        kind="float",
        default=default,
        summary="learning rate η",
        low=0.0,
        search=Search(scale="log", low=default / 100, high=default * 100),
    )


def _decay(name: str, default: float, summary: str) -> Parameter:
    return Parameter(
        name=name, kind="float", default=default, summary=summary, low=0.0, high=_BELOW_ONE
    )


def _momentum(default: float) -> Parameter:
    return Parameter(
        name="momentum",
        kind="float",
        default=default,
        summary="μ, the share of the buffer kept in a step",
        low=0.0,
        high=1.0,
    )


_EPS = Parameter(
    name="eps",
    kind="float",
    default=1e-8,
    summary="added to the root of the squared gradients",
    unit="gradient",
    low=0.0,
)
_COUPLED = Parameter(
    name="weight_decay",
    kind="float",
    default=0.0,
    summary="L2 coefficient λ: the gradient of a weight w grows by λ·w",
    low=0.0,
)
_DECOUPLED = Parameter(
    name="weight_decay",
    kind="float",
    default=0.01,
    summary="λ: each step first multiplies a weight by 1 - η·λ",
    low=0.0,
    search=Search(scale="log", low=1e-4, high=1.0),
)
_BETAS = (
    _decay("beta1", 0.9, "decay of the running mean of gradients"),
    _decay("beta2", 0.999, "decay of the running mean of squared gradients"),
)

OPTIMIZERS = (
    Optimizer(
        name="sgd",
        summary="plain stochastic gradient descent",
        source=Source(
            title="A Stochastic Approximation Method (Robbins, Monro 1951)",
            reference="doi:10.1214/aoms/1177729586",
        ),
        parameters=(_lr(0.1), _COUPLED),
        factory="normbench_plugins.optimizers.sgd:sgd",
        capturable=True,
    ),
    Optimizer(
        name="momentum",
        summary="stochastic gradient descent with heavy-ball momentum (SGD-M)",
        source=Source(
            title="Some Methods of Speeding up the Convergence of Iteration Methods (Polyak 1964)",
            reference="doi:10.1016/0041-5553(64)90137-5",
            deviations=("The learning rate multiplies the buffer, as in torch.",),
        ),
        parameters=(_lr(0.01), _momentum(0.9), _COUPLED),
        factory="normbench_plugins.optimizers.momentum:momentum",
        capturable=True,
    ),
    Optimizer(
        name="nesterov",
        summary="stochastic gradient descent with Nesterov momentum",
        source=Source(
            title="On the Importance of Initialization and Momentum in Deep Learning "
            "(Sutskever, Martens, Dahl, Hinton 2013)",
            reference="proceedings.mlr.press/v28/sutskever13",
            deviations=("The gradient is taken before the look-ahead, as in torch.",),
        ),
        parameters=(_lr(0.01), _momentum(0.9), _COUPLED),
        factory="normbench_plugins.optimizers.nesterov:nesterov",
        capturable=True,
    ),
    Optimizer(
        name="adam",
        summary="adaptive moments, with weight decay through the gradient",
        source=Source(
            title="Adam: A Method for Stochastic Optimization (Kingma, Ba 2015)",
            reference="arXiv:1412.6980",
        ),
        parameters=(_lr(0.001), *_BETAS, _EPS, _COUPLED),
        factory="normbench_plugins.optimizers.adam:adam",
        capturable=True,
    ),
    Optimizer(
        name="adamw",
        summary="adaptive moments, with weight decay on the weights themselves",
        source=Source(
            title="Decoupled Weight Decay Regularization (Loshchilov, Hutter 2019)",
            reference="arXiv:1711.05101",
            deviations=("The decay is multiplied by the learning rate, as in torch.",),
        ),
        parameters=(_lr(0.001), *_BETAS, _EPS, _DECOUPLED),
        factory="normbench_plugins.optimizers.adamw:adamw",
        decoupled_weight_decay=True,
        capturable=True,
    ),
    Optimizer(
        name="rmsprop",
        summary="gradients divided by their running root mean square",
        source=Source(
            title="Lecture 6.5, Neural Networks for Machine Learning (Tieleman, Hinton 2012)",
            reference="www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
        ),
        parameters=(
            _lr(0.001),
            _decay("alpha", 0.99, "decay of the running mean of squared gradients"),
            _EPS,
            _momentum(0.0),
            Parameter(
                name="centered",
                kind="bool",
                default=False,
                summary="subtract the squared running mean of gradients under the root",
            ),
            _COUPLED,
        ),
        factory="normbench_plugins.optimizers.rmsprop:rmsprop",
        capturable=True,
    ),
)


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer the built-in optimizers."""
    return OPTIMIZERS
