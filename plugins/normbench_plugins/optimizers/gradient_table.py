"""Optimizers that follow the gradient, or its running sum, with one rate for all numbers.

The default learning rates of ``momentum`` and ``nesterov`` are a tenth of that of ``sgd``: at
μ = 0.9 all three then move equally far along a constant gradient.
"""

from __future__ import annotations

from normbench import Optimizer, Parameter, Search, Source
from normbench_plugins.optimizers.parameters import AVERAGE, COUPLED, momentum, rate

OPTIMIZERS = (
    Optimizer(
        name="sgd",
        summary="plain stochastic gradient descent",
        source=Source(
            title="A Stochastic Approximation Method (Robbins, Monro 1951)",
            reference="doi:10.1214/aoms/1177729586",
        ),
        parameters=(rate(0.1), COUPLED),
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
        parameters=(rate(0.01), momentum(0.9), COUPLED),
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
        parameters=(rate(0.01), momentum(0.9), COUPLED),
        factory="normbench_plugins.optimizers.nesterov:nesterov",
        capturable=True,
    ),
    Optimizer(
        name="schedule_free_sgd",
        summary="plain SGD that averages its weights in place of a schedule",
        source=Source(
            title="The Road Less Scheduled "
            "(Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024)",
            reference="arXiv:2405.15682",
            deviations=(
                "Warm-up and schedule are the protocol's; the paper's schedule is constant.",
                "The average is stored, so that switching to it and back loses no bit.",
            ),
        ),
        parameters=(rate(1.0), momentum(0.9), *AVERAGE, COUPLED),
        factory="normbench_plugins.optimizers.schedule_free_sgd:schedule_free_sgd",
        capturable=True,
        averages_weights=True,
    ),
    Optimizer(
        name="lars",
        summary="momentum with a learning rate for each layer, by the size of its weight",
        source=Source(
            title="Large Batch Training of Convolutional Networks (You, Gitman, Ginsburg 2017)",
            reference="arXiv:1708.03888",
            deviations=(
                "The learning rate multiplies the buffer, as for momentum.",
                "Only parameters of role weight get a rate of their own.",
            ),
        ),
        parameters=(
            rate(1.0),
            momentum(0.9),
            Parameter(
                name="trust_coefficient",
                kind="float",
                default=0.001,
                summary="τ, relative change of a weight in a step at η = 1",
                low=0.0,
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.lars:lars",
        capturable=True,
        elementwise=False,
    ),
    Optimizer(
        name="sam",
        summary="momentum with the gradient of a nearby, worse point; two gradients a step",
        source=Source(
            title="Sharpness-Aware Minimization for Efficiently Improving Generalization "
            "(Foret, Kleiner, Mobahi, Neyshabur 2021)",
            reference="arXiv:2010.01412",
            deviations=("The perturbation leaves weight decay out.",),
        ),
        parameters=(
            rate(0.01),
            momentum(0.9),
            Parameter(
                name="rho",
                kind="float",
                default=0.05,
                summary="ρ, distance to the perturbed point",
                low=0.0,
                search=Search(scale="log", low=0.005, high=5.0),
            ),
            Parameter(
                name="adaptive",
                kind="bool",
                default=False,
                summary="perturb each parameter in proportion to its size (ASAM; ρ near 0.5)",
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.sam:sam",
        needs_closure=True,
        elementwise=False,
    ),
)
