"""``normbench plan`` and ``suite plan``: what they print, and what they refuse."""

from __future__ import annotations

import json

import pytest

from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.worker.reports import Reporter

FAILING = """
import normbench
from normbench import Optimizer, Parameter, hookimpl

LR = (Parameter(name="lr", kind="float", default=0.1, summary="learning rate"),)

def broken(groups, lr):
    raise ZeroDivisionError("in a stranger's plugin")

@hookimpl
def normbench_optimizers():
    return [Optimizer(name="broken", summary="fails", parameters=LR, factory=broken)]
"""


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    """Return a function that writes a suite file into the working directory."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return "mine.yaml"

    return written


def test_plan_of_a_suite_is_read_at_a_glance(suite_file, invoke, filler):
    """Counts, time, memory, disk and differences of the runs that are there and of those left."""
    filler.ended(seeds=3)
    filler.ended(seeds=3, optimizer="adam")
    filler.ended("failed", 1, "momentum")
    file = suite_file(
        "{title: Three on digits, problem: digits_cnn_bn, optimizers: [sgd, adam, momentum], "
        "seeds: 5, protocol: {name: standard, epochs: 3}, reference: {optimizer: sgd}}"
    )
    words = ("--no-probe", "--devices", 2, "--store", filler.root)
    found = invoke("suite", "plan", file, *words)
    lines = found.stdout.splitlines()

    assert found.stdout == invoke("plan", file, *words).stdout
    assert 0 == found.exit_code, found.stderr
    assert ["Three on digits", "problem digits_cnn, norm batch_norm, protocol standard "] == [
        lines[0],
        lines[1].partition("protocol.")[0],
    ]
    assert ["runs", "done", "without", "result", "s/step"] == lines[2].split()[1:6]
    assert ["sgd", "5", "3", "100.0", "ms", "3.3", "s", "6.6", "s", "runs"] == lines[3].split()
    assert ["momentum", "5", "1", "failed", "?"] == lines[5].split()
    assert "Runs: 15, 6 done, 1 failed, 9 left" in lines
    assert "Not in it: 5 runs of unknown length" in lines
    said = " ".join(found.stdout.split())
    assert "13.2 s one after another, 6.6 s with 2 at a time" in said
    assert "longest first; the start of the workers, some seconds, is not in it" in said
    assert "Not probed: 1 cell; whether they can be trained shows in run --dry-run" in said
    assert "digits_cnn standard protocol.epochs=3, test_accuracy: with 5 seeds a difference" in said
    assert all(len(line) <= 100 for line in lines)


def test_start_of_workers_is_in_both_times(invoke, filler):
    """Once it was measured it counts one after another as well as side by side, and is told."""
    filler.ended(seeds=3)
    logs = LaunchFolder.create("local", LaunchRequest(store=filler.root, data_folder=filler.root))
    Reporter(logs.logs / "worker-0.jsonl").tell("ready", start_seconds=10.0)
    words = ("digits_cnn_bn", "sgd", "protocol.epochs=3", "--seeds", 5, "--no-probe")
    found = invoke("plan", *words, "--devices", 2, "--store", filler.root).stdout

    said = " ".join(found.split())
    assert ": 16.6 s one after another, 13.3 s with 2 at a time, longest first; 10.0 s" in said
    assert "for the start of workers included" in said


def test_plan_as_json_holds_the_same(invoke, filler):
    """``--json`` gives every number, and a single request is a plan of one cell."""
    filler.ended(seeds=3)
    words = ("digits_cnn_bn", "sgd", "protocol.epochs=3", "--seeds", 5, "--no-probe")
    found = json.loads(invoke("plan", *words, "--json", "--store", filler.root).stdout)
    (cell,) = found["cells"]

    assert (5, 3, 2) == (found["runs"], found["done"], found["left"])
    assert pytest.approx(6.6) == found["device_seconds"] == cell["seconds_left"]
    assert "runs" == cell["cost"]["origin"]
    assert 0.005 == found["detection"][0]["smallest_difference"]
    assert found["disk"]["measured"]


def test_what_only_a_built_network_shows_is_said_to_be_open(invoke, tmp_path, monkeypatch):
    """A mask of the wrong length passes without a probe, and the plan says so."""
    monkeypatch.chdir(tmp_path)
    words = ("digits_cnn", "sgd", "--norm", "batch_norm", "--sites", "1,1,1,1,1,1,1,1,1")
    found = invoke("plan", *words, "--no-probe")
    record = json.loads(invoke("plan", *words, "--no-probe", "--json").stdout)

    assert 0 == found.exit_code, found.stderr
    assert "Not probed: 1 cell; whether" in found.stdout
    assert 1 == record["not_probed"]
    assert 2 == invoke("run", *words, "--dry-run").exit_code


def test_plan_without_a_store_makes_none(suite_file, invoke, tmp_path):
    """Planning without probes leaves the working directory as it was."""
    file = suite_file("{problem: digits_cnn, optimizer: sgd}")
    found = invoke("plan", file, "--no-probe")

    assert "Runs: 10, 10 left" in found.stdout
    assert ["mine.yaml"] == [path.name for path in tmp_path.iterdir()]


def test_cells_that_cannot_be_trained_do_not_stop_a_plan(suite_file, invoke, tmp_path):
    """What is missing or bad is in the plan, the other cells are planned, the exit code is 1."""
    file = suite_file(
        "{problems: [digits_cnn, cifar10_3c3d], optimizer: sgd, "
        "grids: [{problem: digits_cnn, optimizer: {name: sgd, lr: 1}, "
        "words: {problem.batch_size: 5000}}]}"
    )
    found = invoke("plan", file, "--no-probe", "--data-dir", tmp_path / "data")

    assert 1 == found.exit_code
    unmade = invoke("plan", "cifar10_3c3d", "sgd", "--no-probe", "--data-dir", tmp_path / "data")
    assert 1 == unmade.exit_code
    assert "normbench prepare cifar10" in found.stdout
    assert "problem.batch_size=5000 is larger than the training part" in found.stdout
    assert "Runs: 20, 20 left" in found.stdout


def test_probe_that_fails_is_a_line_of_the_plan(invoke, plugin_file, tmp_path, monkeypatch):
    """An optimizer that raises is reported with what it raised, from a process of its own."""
    monkeypatch.chdir(tmp_path)
    file = plugin_file(FAILING)
    found = invoke("plan", "quadratic_deep", "broken", "--seeds", 2, "--plugin", file)

    assert 1 == found.exit_code
    assert "probe 1 of 1: quadratic_deep broken" in found.stderr
    assert "failed: ZeroDivisionError: in a stranger's plugin" in found.stdout
    assert "Not in it: 2 runs of unknown length" in found.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits_cn", "sgd"), "Did you mean 'digits_cnn'"),
        (("sperical",), "unknown suite or problem 'sperical'. Did you mean 'spherical'"),
        (("digits_cnn",), "the optimizer is missing"),
        (("digits_cnn", "lr=0.1"), "the optimizer is missing"),
        (("digits_cnn", "sgd", "--only", "norm=none"), "--only chooses among a suite's cells"),
        (("spherical", "sgd"), "sgd does not go with suite spherical"),
        (("spherical", "--norm", "none"), "--norm does not go with suite spherical"),
        (("spherical", "--only", "norm"), "expected AXIS=NAME"),
        (("spherical", "--only", "optimizer=lion"), "has no cell with optimizer=lion"),
        (("spherical", "--devices", "0"), "0 is not in the range"),
        (("digits_cnn", "sgd", "--seeds", "0"), "--seeds 0 asks for no run"),
        (("digits_cnn", "badname"), "unknown optimizer 'badname'"),
        (("digits_cnn", "sgd", "--device", "tpu"), "unknown device 'tpu'"),
        (("nowhere.yaml",), "it does not exist"),
    ],
)
def test_wrong_plans_are_refused(invoke, tmp_path, monkeypatch, words, message):
    """What cannot be planned ends with exit code 2 and the fix, or is told in the plan."""
    monkeypatch.chdir(tmp_path)
    found = invoke("plan", *words, "--no-probe")

    assert found.exit_code in (1, 2)
    assert message in found.stderr
    assert "Traceback" not in found.stderr
