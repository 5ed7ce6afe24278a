"""Norms alone against torch.nn's: what a row says, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from normbench import UsageError
from normbench.bench.norms import TWINS, bench_norms
from normbench.plugins import load_catalogue

CATALOGUE, CPU = load_catalogue(), torch.device("cpu")
on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize(
    ("device", "precision", "place"),
    [
        (CPU, "fp32", 1e-5),
        (CPU, "bf16", 1e-2),
        pytest.param(torch.device("cuda"), "fp32", 1e-5, marks=on_gpu),
        pytest.param(torch.device("cuda"), "bf16", 1e-2, marks=on_gpu),
    ],
    ids=str,
)
def test_rows_set_each_norm_beside_torchs(device, precision, place):
    """Norms that torch.nn has get a ratio; all keep channels_last and are float64's, rounded."""
    report = bench_norms(CATALOGUE, device, shape=(4, 16, 4, 4), precision=precision, rounds=1)

    rows = {row.name: row for row in report.rows}
    assert set(TWINS) == {name for name, row in rows.items() if row.ratio is not None}
    assert {"evonorm_s0", "filter_response_norm", "rms_norm"} <= set(rows)
    assert all(row.seconds > 0 and row.keeps_layout for row in rows.values())
    assert all(row.error < place for row in rows.values())
    assert all(rows[name].torch_error < place for name in TWINS)
    assert not rows["instance_norm"].torch_keeps_layout
    json.dumps(report.to_dict(), allow_nan=False)


def test_one_norm_may_be_asked_for():
    """The norms named are measured and no other."""
    report = bench_norms(CATALOGUE, CPU, shape=(2, 8, 2, 2), names=("group_norm",), rounds=1)

    assert ["group_norm"] == [row.name for row in report.rows]
    assert [2, 8, 2, 2] == report.conditions["shape"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shape": (8, 16)}, r"shape \(8, 16\): expected four whole numbers"),
        ({"shape": (8, 16, 0, 2)}, "from 1"),
        ({"precision": "fp8"}, "precision fp8: expected one of fp32, bf16"),
        ({"names": ("weight_norm",)}, "weight_norm does nothing to the activations"),
        ({"names": ("none",)}, "none does nothing to the activations"),
    ],
    ids=str,
)
def test_what_cannot_be_timed_is_refused(given, message):
    """The error says what was given and what may be."""
    with pytest.raises(UsageError, match=message):
        bench_norms(CATALOGUE, CPU, **{"shape": (2, 8, 2, 2), "rounds": 1, **given})
