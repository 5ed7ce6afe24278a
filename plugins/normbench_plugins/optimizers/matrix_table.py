"""Optimizers that see how the numbers of a gradient hang together."""

from __future__ import annotations

from normbench import Optimizer, Parameter, Search, Source
from normbench_plugins.optimizers.parameters import (
    COUPLED,
    betas,
    decoupled,
    eps,
    momentum,
    rate,
)

OPTIMIZERS = (
    Optimizer(
        name="muon",
        summary="momentum of each weight matrix made orthogonal; AdamW for the rest",
        source=Source(
            title="Muon: An Optimizer for Hidden Layers in Neural Networks (Jordan et al. 2024)",
            reference="kellerjordan.github.io/posts/muon",
            deviations=(
                "The step is scaled as in arXiv:2502.16982, so that AdamW's rate fits.",
                "First and last layers are orthogonalised too.",
            ),
        ),
        parameters=(
            rate(0.001),
            momentum(0.95),
            Parameter(name="nesterov", kind="bool", default=True, summary="look ahead"),
            Parameter(
                name="ns_steps",
                kind="int",
                default=5,
                summary="Newton-Schulz iterations",
                low=1,
                high=20,
            ),
            Parameter(
                name="adjust",
                kind="str",
                default="match_rms_adamw",
                summary="how a step is scaled by the shape of its matrix",
                choices=("match_rms_adamw", "original"),
            ),
            Parameter(
                name="adamw_lr_factor",
                kind="float",
                default=1.0,
                summary="AdamW's learning rate over η",
                low=0.0,
            ),
            *betas(),
            eps(),
            decoupled(),
        ),
        factory="normbench_plugins.optimizers.muon:muon",
        decoupled_weight_decay=True,
        capturable=True,
        elementwise=False,
    ),
    Optimizer(
        name="soap",
        summary="Adam in the eigenbasis of Shampoo's preconditioner; AdamW for the rest",
        source=Source(
            title="SOAP: Improving and Stabilizing Shampoo using Adam (Vyas et al. 2025)",
            reference="arXiv:2409.11321",
            deviations=("Parameters of other roles than weight step from the first gradient on.",),
        ),
        parameters=(
            rate(0.003),
            *betas(0.95, 0.95),
            eps(low=1e-20),  # a direction without any gradient would give 0 / 0
            Parameter(
                name="precondition_every",
                kind="int",
                default=10,
                summary="from one basis to the next",
                unit="steps",
                low=1,
                search=Search(scale="choice", choices=(1, 10, 100)),
            ),
            Parameter(
                name="largest_dimension",
                kind="int",
                default=10000,
                summary="dimensions of more numbers keep their own basis",
                low=1,
            ),
            decoupled(),
        ),
        factory="normbench_plugins.optimizers.soap:soap",
        decoupled_weight_decay=True,
        elementwise=False,
    ),
    Optimizer(
        name="lbfgs",
        summary="limited-memory BFGS, several iterations on each batch",
        source=Source(
            title="On the Limited Memory BFGS Method for Large Scale Optimization "
            "(Liu, Nocedal 1989)",
            reference="doi:10.1007/BF01589116",
            deviations=("Curvature pairs are carried from batch to batch, as in torch.",),
        ),
        parameters=(
            rate(1.0),
            Parameter(
                name="max_iter",
                kind="int",
                default=20,
                summary="iterations on a batch",
                low=1,
                search=Search(scale="int", low=1, high=20),
            ),
            Parameter(
                name="history_size",
                kind="int",
                default=10,
                summary="pairs of changes kept",
                low=1,
            ),
            Parameter(
                name="line_search",
                kind="bool",
                default=True,
                summary="search along each direction, under the strong Wolfe conditions",
            ),
            Parameter(
                name="tolerance_grad",
                kind="float",
                default=1e-7,
                summary="a batch is left when no number of the gradient is larger",
                unit="gradient",
                low=0.0,
            ),
            Parameter(
                name="tolerance_change",
                kind="float",
                default=1e-9,
                summary="a batch is left when step and loss change by less",
                low=0.0,
            ),
            COUPLED,
        ),
        factory="normbench_plugins.optimizers.lbfgs:lbfgs",
        needs_closure=True,
        elementwise=False,
    ),
)
