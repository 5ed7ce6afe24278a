"""Optimizers that scale each number of the gradient by its own history."""

from __future__ import annotations

from normbench import Optimizer, Parameter, Source
from normbench_plugins.optimizers.parameters import (
    AVERAGE,
    COUPLED,
    betas,
    decay,
    decoupled,
    eps,
    momentum,
    rate,
)

OPTIMIZERS = (
    Optimizer(
        name="adam",
        summary="adaptive moments, with weight decay through the gradient",
        source=Source(
            title="Adam: A Method for Stochastic Optimization (Kingma, Ba 2015)",
            reference="arXiv:1412.6980",
        ),
        parameters=(rate(0.001), *betas(), eps(), COUPLED),
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
        parameters=(rate(0.001), *betas(), eps(), decoupled()),
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
            rate(0.001),
            decay("alpha", 0.99, "decay of the running mean of squared gradients"),
            eps(),
            momentum(0.0),
            Parameter(
                name="centered",
                kind="bool",
                default=False,
                summary="subtract the squared running mean of gradients under the root",
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.rmsprop:rmsprop",
        capturable=True,
    ),
    Optimizer(
        name="nadam",
        summary="Adam with Nesterov momentum",
        source=Source(
            title="Incorporating Nesterov Momentum into Adam (Dozat 2016)",
            reference="openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
        ),
        parameters=(
            rate(0.002),
            *betas(),
            eps(),
            Parameter(
                name="momentum_decay",
                kind="float",
                default=0.004,
                summary="ψ, how fast the momentum grows from β₁/2 to β₁",
                low=0.0,
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.nadam:nadam",
        capturable=True,
    ),
    Optimizer(
        name="radam",
        summary="Adam whose adaptive rate waits until its variance is bounded",
        source=Source(
            title="On the Variance of the Adaptive Learning Rate and Beyond "
            "(Liu, Jiang, He, Chen, Liu, Gao, Han 2020)",
            reference="arXiv:1908.03265",
            deviations=("It adapts from ρ above 5 on, as in torch and the authors' code.",),
        ),
        parameters=(rate(0.001), *betas(), eps(), COUPLED),
        factory="normbench_plugins.optimizers.radam:radam",
        capturable=True,
    ),
    Optimizer(
        name="adagrad",
        summary="gradients divided by the root of the sum of all past squares",
        source=Source(
            title="Adaptive Subgradient Methods for Online Learning and Stochastic Optimization "
            "(Duchi, Hazan, Singer 2011)",
            reference="jmlr.org/papers/v12/duchi11a.html",
        ),
        parameters=(
            rate(0.01),
            Parameter(
                name="lr_decay",
                kind="float",
                default=0.0,
                summary="κ: η is divided by 1 + κ·(steps before)",
                low=0.0,
            ),
            Parameter(
                name="initial_accumulator_value",
                kind="float",
                default=0.0,
                summary="what the sum of squares starts at",
                unit="gradient squared",
                low=0.0,
            ),
            eps(1e-10),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.adagrad:adagrad",
    ),
    Optimizer(
        name="adadelta",
        summary="gradients scaled to the size of recent steps",
        source=Source(
            title="ADADELTA: An Adaptive Learning Rate Method (Zeiler 2012)",
            reference="arXiv:1212.5701",
            deviations=("A learning rate multiplies the step; 1 is the paper's.",),
        ),
        parameters=(
            rate(1.0),
            decay("rho", 0.9, "decay of the running means of squared gradients and steps"),
            Parameter(
                name="eps",
                kind="float",
                default=1e-6,
                summary="added under both roots; it sets the size of the first steps",
                low=0.0,
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.adadelta:adadelta",
        capturable=True,
    ),
    Optimizer(
        name="lion",
        summary="the sign of an interpolated momentum",
        source=Source(
            title="Symbolic Discovery of Optimization Algorithms (Chen et al. 2023)",
            reference="arXiv:2302.06675",
            deviations=("Weight decay is on by default, at AdamW's product with the rate.",),
        ),
        parameters=(
            rate(1e-4),
            decay("beta1", 0.9, "share of the momentum in the direction"),
            decay("beta2", 0.99, "decay of the momentum"),
            decoupled(0.1),
        ),
        factory="normbench_plugins.optimizers.lion:lion",
        decoupled_weight_decay=True,
        capturable=True,
    ),
    Optimizer(
        name="schedule_free_adamw",
        summary="AdamW that averages its weights in place of a schedule",
        source=Source(
            title="The Road Less Scheduled "
            "(Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024)",
            reference="arXiv:2405.15682",
            deviations=(
                "Warm-up and schedule are the protocol's; the paper's schedule is constant.",
                "The average is stored, so that switching to it and back loses no bit.",
                "Weight decay is on by default, as for AdamW.",
            ),
        ),
        parameters=(
            rate(0.0025),
            *betas(),
            eps(),
            *AVERAGE,
            Parameter(
                name="weight_decay",
                kind="float",
                default=0.01,
                summary="λ: each step also moves z by -η·λ·y, y being the point of the gradient",
                low=0.0,
                search=decoupled().search,
            ),
        ),
        factory="normbench_plugins.optimizers.schedule_free_adamw:schedule_free_adamw",
        decoupled_weight_decay=True,
        capturable=True,
        averages_weights=True,
    ),
    Optimizer(
        name="lamb",
        summary="Adam with a trust ratio for each layer",
        source=Source(
            title="Large Batch Optimization for Deep Learning (You et al. 2020)",
            reference="arXiv:1904.00962",
            deviations=("Only parameters of role weight get a trust ratio.",),
        ),
        parameters=(
            rate(0.005),
            *betas(),
            eps(1e-6),
            Parameter(
                name="weight_decay",
                kind="float",
                default=0.01,
                summary="λ: Adam's direction grows by λ·w before the trust ratio is taken",
                low=0.0,
                search=decoupled().search,
            ),
        ),
        factory="normbench_plugins.optimizers.lamb:lamb",
        decoupled_weight_decay=True,
        capturable=True,
        elementwise=False,
    ),
)
