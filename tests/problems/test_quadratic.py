"""The quadratic problem: one matrix for all processes, with the published spectrum and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench import Batch, DataRequest
from normbench_problems import quadratic
from normbench_problems.datasets.quadratic_deep import quadratic_deep
from normbench_problems.networks.quadratic import hessian, random_rotation
from normbench_problems.table import QUADRATIC_DEEP
from normbench_problems.tasks.quadratic import ExampleLosses


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the problem's points."""
    return quadratic_deep(DataRequest(tmp_path_factory.mktemp("empty")))


def _loss(theta, points: np.ndarray, matrix: np.ndarray) -> float:
    offset = theta - points.astype(np.float64)
    return float(0.5 * np.einsum("ni,ij,nj->n", offset, matrix, offset).mean())


def test_matrix_does_not_depend_on_what_was_built_before():
    """The matrix is bit by bit the same after other draws and other problems."""
    first = hessian()
    np.random.RandomState(42).normal(size=1000)
    hessian("continued")
    quadratic()

    assert np.array_equal(first, hessian())
    assert torch.equal(quadratic().hessian, quadratic().hessian)


@pytest.mark.parametrize("rotation", ["fresh", "continued"])
def test_spectrum(rotation):
    """90 eigenvalues lie in (0, 1), 10 in (30, 60), and they sum to 477.612."""
    matrix = hessian(rotation)
    eigenvalues = np.linalg.eigvalsh(matrix)

    assert np.allclose(matrix, matrix.T)
    assert 90 == np.sum((eigenvalues > 0) & (eigenvalues < 1))
    assert 10 == np.sum((eigenvalues > 30) & (eigenvalues < 60))
    assert pytest.approx(477.61228, abs=1e-4) == eigenvalues.sum()


@pytest.mark.parametrize("size", [3, 4, 17])
def test_rotation_is_a_rotation(size):
    """A random rotation keeps lengths and orientation in even and odd dimensions alike."""
    matrix = random_rotation(np.random.RandomState(0), size)

    assert np.allclose(np.eye(size), matrix @ matrix.T)
    assert pytest.approx(1.0) == np.linalg.det(matrix)


@pytest.mark.parametrize(
    ("rotation", "start", "optimum", "floor"),
    [("fresh", 228.54098, 86.15162, 86.00373), ("continued", 353.92597, 87.12874, 86.94108)],
)
def test_losses(rotation, start, optimum, floor, data):
    """Test loss at the start, at the train optimum, and at its own optimum."""
    matrix, test = hessian(rotation), data.test.inputs
    means = data.train.inputs.mean(0, dtype=float), test.mean(0, dtype=float)

    assert pytest.approx(start, abs=1e-3) == _loss(1.0, test, matrix)
    assert pytest.approx(optimum, abs=1e-3) == _loss(means[0], test, matrix)
    assert pytest.approx(floor, abs=1e-3) == _loss(means[1], test, matrix)


def test_network_gives_the_losses(data):
    """The network's mean loss at its start is the problem's worst score."""
    batch = Batch(torch.from_numpy(data.test.inputs), torch.from_numpy(data.test.targets))

    with torch.no_grad():
        scores = ExampleLosses()(quadratic(), batch, {})

    assert pytest.approx(QUADRATIC_DEEP.metric.worst, abs=1e-2) == scores.loss.item()
    assert pytest.approx(1000 * scores.loss.item(), rel=1e-5) == scores.sums.item()


def test_gradient(data):
    """The gradient of the mean loss is H·(θ - mean of the points)."""
    network = quadratic().double()
    points = torch.from_numpy(data.train.inputs[:16]).double()

    network(points).mean().backward()

    expected = network.hessian @ (network.theta.detach() - points.mean(0))
    assert torch.allclose(expected, network.theta.grad)


def test_points(data):
    """The points are DeepOBS's: seeds 42 and 43, standard deviation 0.6."""
    first = np.float32(0.6 * np.random.RandomState(42).standard_normal(2))

    assert (1000, 100) == data.train.inputs.shape == data.test.inputs.shape
    assert np.float32 == data.train.inputs.dtype
    assert np.allclose(first, data.train.inputs[0, :2])
    assert pytest.approx(0.2980285, abs=1e-7) == data.train.inputs[0, 0]
    assert not np.array_equal(data.train.inputs, data.test.inputs)
    assert pytest.approx(0.6, abs=0.005) == data.train.inputs.std()
