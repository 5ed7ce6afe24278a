"""The bench compares loops that do the same work, and says under which conditions."""

from __future__ import annotations

import json

import pytest
import torch

from normbench import Dataset, Part
from normbench.augmentation import Augmentation
from normbench.bench.baseline import loader, plain_optimizer
from normbench.bench.measure import bench
from normbench.engine.session import load_data
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
DIGITS = CATALOGUE.get(Dataset, "digits")


@pytest.fixture(scope="module")
def data():
    """Return the digits."""
    return load_data(DIGITS, None)


def test_every_row_is_a_positive_ratio_to_the_first(data):
    """Three tables, each beginning with its yardstick at one; the report is strict JSON."""
    spec = resolve(Request(problem="digits_cnn_bn", optimizer="sgd", seeds=1), CATALOGUE)[0]
    report = bench(spec, CATALOGUE, data, torch.device("cpu"), examples=128, rounds=2)

    for rows in (report.end_to_end, report.pipeline, report.harness):
        assert 2 == len(rows)
        assert 1.0 == rows[0].ratio
        assert all(row.ratio_low <= row.ratio <= row.ratio_high for row in rows)
        assert all(row.examples_per_second > 0 for row in rows)
    assert 128 == report.conditions["examples_trained"]
    json.dumps(report.to_dict(), allow_nan=False)


def test_plain_loader_gives_the_engine_s_numbers(data):
    """Without augmentation the PIL chain and the resident source normalize alike."""
    from normbench.engine.sources import Evaluation

    part = Part(data.test.inputs[:16], data.test.targets[:16])
    (plain,) = loader(part, DIGITS, None, 16)
    (ours,) = Evaluation(part, DIGITS, 16, torch.device("cpu"))

    torch.testing.assert_close(plain[0], ours.inputs)
    assert torch.equal(plain[1], ours.targets)


def test_plain_loader_drops_and_shuffles_in_training(data):
    """The yardstick trains on full batches in a random order."""
    part = Part(data.train.inputs[:20], data.train.targets[:20])
    batches = list(loader(part, DIGITS, Augmentation(), 8))

    assert [8, 8] == [len(targets) for _, targets in batches]


def test_plain_optimizer_updates_tensor_by_tensor():
    """The same class and values, without fused kernels and without decay of its own."""
    weight = torch.nn.Parameter(torch.ones(3))
    fast = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.1, fused=True)
    plain = plain_optimizer(fast)

    assert isinstance(plain, torch.optim.SGD)
    assert (0.9, 0, False) == tuple(
        plain.defaults[name] for name in ("momentum", "weight_decay", "fused")
    )
