"""Norms alone against torch.nn's: what a row says, and what is refused."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from normbench import UsageError
from normbench.bench import norms
from normbench.bench.against import compare
from normbench.bench.norms import TWINS, bench_norms
from normbench.cli import cli
from normbench.engine.recording import RECORDERS
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


class Reading(torch.nn.Module):
    """A norm that reads from the device, which no capture can hold."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        """Return the inputs, scaled."""
        return inputs * self.gain / max(1.0, inputs.std().item())


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=on_gpu)], ids=str)
def test_norm_that_cannot_be_captured_is_told_and_the_others_are_timed(device, monkeypatch):
    """Its row has errors, no times and the reason; a later report without its ratio has lost it."""
    path = Path(__file__).parent / "engine" / "processor_recorder.py"
    recorder = runpy.run_path(str(path))["Recorder"]
    monkeypatch.setitem(RECORDERS, "cpu", lambda _, generators: recorder())
    monkeypatch.setattr(norms, "_REPEATS", {True: 2})
    good, twin, bad = (
        each.to(device) for each in (*(torch.nn.GroupNorm(1, 8) for _ in range(2)), Reading())
    )
    modules = [("good", good, twin), ("bad", bad, None)]
    monkeypatch.setattr(norms, "_modules", lambda *_: modules)
    report = bench_norms(CATALOGUE, device, shape=(2, 8, 2, 2), rounds=1)
    good, bad = report.rows

    assert good.seconds > 0 < good.ratio.median
    assert (None, None, None) == (bad.seconds, bad.torch_seconds, bad.ratio)
    assert "captur" in bad.not_captured == report.left_out["bad"]
    assert bad.error < 1e-5
    lost = replace(report, rows=[replace(good, ratio=None, not_captured="reads"), bad])
    assert [("good, over torch.nn", "gone")] == [(c.name, c.word) for c in compare(report, lost)]


def test_ratios_of_norms_are_held_against_a_file(monkeypatch, tmp_path):
    """What has lost ends in exit code 1; other work and a file of another kind are refused."""
    monkeypatch.setattr(norms, "SHAPE", (2, 8, 2, 2))
    file = tmp_path / "norms.json"
    words = ("bench", "--norms", "fp32", "--norm", "group_norm", "--device", "cpu", "--rounds", "1")

    def against(precision="fp32", **changes):
        file.write_text(json.dumps({**content, **changes}))
        given = (*words, "--norms", precision, "--against", str(file))
        return CliRunner().invoke(cli, given)

    assert 0 == CliRunner().invoke(cli, (*words, "--output", str(file))).exit_code
    content = json.loads(file.read_text())
    row = {**content["rows"][0], "ratio": dict.fromkeys(("median", "low", "high"), 1e6)}
    slower, other, kind = against(rows=[row]), against("bf16"), against(kind="bench")

    assert (1, 2, 2) == (slower.exit_code, other.exit_code, kind.exit_code)
    assert "REGRESSED: group_norm, over torch.nn" in slower.stderr
    assert "measured with precision fp32, now it is bf16" in " ".join(other.stderr.split())
    assert "of kind 'bench': expected 'bench_norms'" in " ".join(kind.stderr.split())


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
