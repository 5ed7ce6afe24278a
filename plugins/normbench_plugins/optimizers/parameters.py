"""Hyper-parameters that several optimizers share, for their tables."""

from __future__ import annotations

from normbench import Parameter, Search

_BELOW_ONE = 0.999999


def rate(default: float) -> Parameter:
    """Return the learning rate, searched over two decades to either side of *default*."""
    return Parameter(
        name="lr",
        kind="float",
        default=default,
        summary="learning rate η",
        low=0.0,
        search=Search(scale="log", low=default / 100, high=default * 100),
    )


def decay(name: str, default: float, summary: str) -> Parameter:
    """Return a decay rate in [0, 1)."""
    return Parameter(
        name=name, kind="float", default=default, summary=summary, low=0.0, high=_BELOW_ONE
    )


def betas(beta1: float = 0.9, beta2: float = 0.999) -> tuple[Parameter, Parameter]:
    """Return Adam's two decay rates."""
    return (
        decay("beta1", beta1, "decay of the running mean of gradients"),
        decay("beta2", beta2, "decay of the running mean of squared gradients"),
    )


def momentum(default: float) -> Parameter:
    """Return μ in [0, 1]."""
    return Parameter(
        name="momentum",
        kind="float",
        default=default,
        summary="μ, the share of the buffer kept in a step",
        low=0.0,
        high=1.0,
    )


def eps(default: float = 1e-8, low: float = 0.0) -> Parameter:
    """Return ε as Adam has it."""
    return Parameter(
        name="eps",
        kind="float",
        default=default,
        summary="added to the root of the squared gradients",
        unit="gradient",
        low=low,
    )


def decoupled(default: float = 0.01) -> Parameter:
    """Return a weight decay that acts on the weights."""
    return Parameter(
        name="weight_decay",
        kind="float",
        default=default,
        summary="λ: each step first multiplies a weight by 1 - η·λ",
        low=0.0,
        search=Search(scale="log", low=1e-4, high=1.0),
    )


COUPLED = Parameter(
    name="weight_decay",
    kind="float",
    default=0.0,
    summary="L2 coefficient λ: the gradient of a weight w grows by λ·w",
    low=0.0,
)

AVERAGE = (
    Parameter(
        name="r",
        kind="float",
        default=0.0,
        summary="power of the step in the weights of the average",
        low=0.0,
    ),
    Parameter(
        name="weight_lr_power",
        kind="float",
        default=2.0,
        summary="power of the largest learning rate so far in the weights of the average",
        low=0.0,
    ),
)
