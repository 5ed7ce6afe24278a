"""Every network trains: finite outputs, and a gradient in every parameter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normbench import Batch, Problem
from normbench_problems.datasets.table import DATASETS
from normbench_problems.table import PROBLEMS

DATA = {dataset.name: dataset for dataset in DATASETS}
NORMS = ("none", "batch_norm", "group_norm", "layer_norm")
# The perceptron's widths are no multiples of eight; the others have no sites, or of one kind.
NORMS_OF = {
    "quadratic": ("none",),
    "logreg": ("none",),
    "mlp": ("none", "batch_norm", "layer_norm"),
    "char_rnn": ("none", "batch_norm", "layer_norm"),
}
# Of the problems on colour images these; the others train in test_image_networks.py.
COLOUR = {
    "cifar10_3c3d",
    "cifar100_3c3d",
    "cifar100_allcnnc",
    "cifar10_resnet20",
    "cifar10_resnet56",
    "cifar10_resnet18",
}
BASES = [
    problem
    for problem in PROBLEMS
    if not problem.base
    and (problem.name in COLOUR or not problem.name.startswith(("cifar", "svhn", "imagenet")))
]
CASES = [
    pytest.param(problem, norm, id=f"{problem.name}-{norm}")
    for problem in BASES
    for norm in NORMS_OF.get(problem.network, NORMS)
]
# The autoencoder draws new noise for each batch.
NOISELESS = [problem for problem in BASES if problem.network != "vae"]


def _batch(problem: Problem, size: int = 4) -> Batch:
    dataset = DATA[problem.dataset]
    generator = torch.Generator().manual_seed(1)
    if dataset.content == "tokens":
        codes = torch.randint(dataset.classes, (2, size, *dataset.shape), generator=generator)
        return Batch(*codes)
    inputs: Tensor = torch.rand((size, *dataset.shape), generator=generator)
    if dataset.content == "images":
        inputs = inputs.permute(0, 3, 1, 2)
    targets = torch.randint(max(dataset.classes, 1), (size,), generator=generator)
    return Batch(inputs, targets)


@pytest.mark.parametrize(("problem", "norm"), CASES)
def test_gradient_reaches_every_parameter(problem, norm, build):
    """One training step's loss is finite and moves every parameter."""
    small = {"width": 16} if problem.network == "resnet18" else {}
    built = build(problem.network, norm, **problem.network_parameters, **small)
    task, batch = problem.load()(), _batch(problem)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        scores = task(built.network, batch, task.initial_state(4, torch.device("cpu")))
    scores.loss.backward()

    assert torch.isfinite(scores.loss)
    for info in built.parameters:
        gradient = info.parameter.grad
        assert gradient is not None, info.name
        assert torch.isfinite(gradient).all(), info.name
        assert gradient.any(), info.name


@pytest.mark.parametrize("problem", NOISELESS, ids=lambda problem: problem.name)
def test_sums_add_up_over_batches(problem, build):
    """Metric sums of a batch are those of its halves, and the first is the loss times its size."""
    small = {"width": 16} if problem.network == "resnet18" else {}
    network = build(problem.network, problem.norm, **problem.network_parameters, **small).network
    network.eval()
    task, batch = problem.load()(), _batch(problem)
    halves = [Batch(batch.inputs[part], batch.targets[part]) for part in (slice(2), slice(2, 4))]

    with torch.no_grad():
        whole, (first, second) = task(network, batch, {}), [task(network, b, {}) for b in halves]

    assert len(task.metrics) == len(whole.sums)
    assert torch.allclose(whole.sums, first.sums + second.sums, rtol=1e-4)
    examples = batch.targets.numel() if DATA[problem.dataset].content == "tokens" else 4
    assert torch.allclose(whole.sums[0], whole.loss * examples)
