"""Checks of problems: their parts fit together, train, and score."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from normbench.descriptions import Problem
from normbench.plugins import Catalogue
from normbench.tasks import Batch, Scores, Task
from normbench.testing import networks
from normbench.testing.cases import BATCH, ProblemCase, batch_of, problem_case
from normbench.testing.checking import Check, ContractError, Finding, findings, require
from normbench.testing.stand_ins import NOTHING, STAND_INS

_PARTS = ("train", "validation", "test")


def is_scored_by_its_task(case: ProblemCase) -> None:
    """The metric names a part and one of the task's metrics, and the loss comes first."""
    metrics, metric = case.task().metrics, case.problem.metric
    part, _, name = metric.name.partition("_")
    require(
        metrics and metrics[0] == "loss" and part in _PARTS and name in metrics,
        f"the metric is {metric.name!r} and the task has {', '.join(metrics)}.",
        f"a name such as test_{metrics[-1] if metrics else 'loss'}: one of {', '.join(_PARTS)} and "
        "one of the task's metrics, of which 'loss' is the first.",
        "correct Metric.name, or the task's attribute metrics.",
    )
    require(
        metric.smallest_difference > 0,
        f"smallest_difference is {metric.smallest_difference}.",
        "the smallest difference that anyone would care about, above 0.",
        "give it, in the metric's unit; verdicts need it.",
    )


def trains_with_any_norm(case: ProblemCase) -> str | None:
    """With no norm, batch and group norm two steps have finite losses and reach all weights."""
    batch = batch_of(case)
    if batch is None:
        return "there are no examples to try: its data files are missing and it has no classes"
    sites = networks.build(case.network, NOTHING, case.parameters).sites
    for norm in STAND_INS if sites else (NOTHING,):
        built = networks.started(case.network, norm, case.parameters)
        built.network.to(memory_format=torch.channels_last)
        _train(case.task(), built.network, batch, norm.name)
    return None


def scores_sums(case: ProblemCase) -> str | None:
    """In evaluation the task gives a sum for each metric, and twice a batch gives twice the sum."""
    batch = batch_of(case)
    if batch is None:
        return "there are no examples to try: its data files are missing and it has no classes"
    task = case.task()
    network = networks.started(case.network, NOTHING, case.parameters).network.eval()
    double = Batch(torch.cat((batch.inputs,) * 2), torch.cat((batch.targets,) * 2))
    with torch.no_grad():
        once, twice = (_scores(task, network, given) for given in (batch, double))
    require(
        once.sums.shape == (len(task.metrics),) and not once.sums.requires_grad,
        f"the sums have shape {tuple(once.sums.shape)} for {len(task.metrics)} metrics.",
        "one number for each of the task's metrics.",
        "stack one sum over the examples for each name in metrics.",
    )
    require(
        _random(network) or torch.allclose(2 * once.sums, twice.sums, rtol=1e-3),
        f"a batch gives the sums {once.sums.tolist()}, and twice the batch {twice.sums.tolist()}.",
        "twice the sums: metrics are sums over examples, divided at the end.",
        "return sums over the batch, not means; the loss itself is a mean.",
    )
    return None


def _train(task: Task, network: nn.Module, batch: Batch, norm: str) -> None:
    state = task.initial_state(BATCH, torch.device("cpu"))
    stepper = torch.optim.SGD(network.parameters(), lr=1e-4)
    for _ in range(2):
        stepper.zero_grad()
        scores = task(network.train(), batch, state)
        _require_loss(scores, norm)
        scores.loss.backward()  # type: ignore[no-untyped-call]
        # Deep networks without a norm have gradients so large that a step would overflow.
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        stepper.step()
        state = scores.state
    idle = [name for name, weight in network.named_parameters() if weight.grad is None]
    require(
        not idle,
        f"with {norm} these parameters get no gradient: {', '.join(idle[:5])}.",
        "parameters that the loss depends on.",
        "use them in forward, or leave them out.",
    )
    attached = [name for name, value in state.items() if value.requires_grad]
    require(
        not attached,
        f"the state carried to the next batch has a graph: {', '.join(attached)}.",
        "a state without history, so that a step ends at its own batch.",
        "detach() what Scores.state holds.",
    )


def _require_loss(scores: object, norm: str) -> None:
    if not isinstance(scores, Scores):
        raise ContractError(
            f"the task returned {type(scores).__name__}.",
            "a normbench.Scores.",
            "return Scores(loss, sums, state).",
        )
    require(
        scores.loss.ndim == 0 and scores.loss.isfinite() and scores.loss.dtype != torch.bfloat16,
        f"with {norm} the loss is {_shown(scores.loss)}.",
        "a finite scalar of float32: the mean over the batch.",
        "average over the examples, compute it from outputs.float(), and check initial values.",
    )


def _shown(loss: Tensor) -> str:
    values = f"{float(loss.detach()):.3g}" if loss.ndim == 0 else f"of shape {tuple(loss.shape)}"
    return f"{values} ({loss.dtype})"


def _scores(task: Task, network: nn.Module, batch: Batch) -> Scores:
    return task(network, batch, task.initial_state(len(batch.inputs), torch.device("cpu")))


def _random(network: nn.Module) -> bool:
    return any(getattr(module, "in_evaluation", False) for module in network.modules())


PROBLEM_CHECKS: tuple[Check[ProblemCase], ...] = (
    Check(is_scored_by_its_task),
    Check(trains_with_any_norm),
    Check(scores_sums),
)


def problem_checks() -> tuple[Check[ProblemCase], ...]:
    """Return all checks of problems, to call with a :class:`ProblemCase`."""
    return PROBLEM_CHECKS


def check_problem(
    problem: Problem,
    catalogue: Catalogue | None = None,
    folder: Path | None = None,
    *,
    skip: Collection[str] = (),
) -> list[Finding]:
    """Return what every check makes of *problem*.

    Args:
        problem: The description.
        catalogue: Where its dataset and network are looked up; None for all that is installed.
        folder: Where data files may lie; None for the default data folder.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If there is no dataset or network of the name, or a name to skip is none of the
            checks'.
    """
    case = problem_case(problem, catalogue, folder)
    return findings(PROBLEM_CHECKS, case, problem.kind, problem.name, skip)
