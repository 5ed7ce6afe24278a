"""Probes: a few real steps in a process of their own, and what is said when there are none."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from normbench.forecast import probe as probing
from normbench.forecast.probes import Probe, Prober
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.worker.trees import Processes

PLUGIN = """
import os, pathlib, signal, subprocess
import torch
from normbench import Optimizer, Parameter, hookimpl

LR = (Parameter(name="lr", kind="float", default=0.1, summary="learning rate"),)

def short_of_memory(groups, lr):
    raise MemoryError("no room")

def broken(groups, lr):
    raise ZeroDivisionError("in a stranger's plugin")

def killed(groups, lr):
    os.kill(os.getpid(), signal.SIGKILL)

def stuck(groups, lr):
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path(os.environ["STUCK"]).write_text(f"{os.getpid()} {child.pid}")
    child.wait()

@hookimpl
def normbench_optimizers():
    makers = (short_of_memory, broken, killed, stuck)
    return [
        Optimizer(name=maker.__name__, summary="fails", parameters=LR, factory=maker)
        for maker in makers
    ]
"""


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "failing.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


def spec_of(optimizer, *plugins, problem="quadratic_deep"):
    """Return the spec of one run."""
    request = Request(problem=problem, optimizer=optimizer, seeds=1)
    return resolve(request, load_catalogue(plugins))[0]


def probed_here(tmp_path, monkeypatch, spec, *plugins):
    """Return what the probing process would write, from this process."""
    request = {
        "spec": spec.to_json(),
        "plugins": [str(file) for file in plugins],
        "data_folder": str(tmp_path),
        "device": "cpu",
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    assert 0 == probing.main(tmp_path / "result.json")
    return Probe.from_dict(json.loads((tmp_path / "result.json").read_text()))


def test_probe_measures_and_is_kept(tmp_path):
    """A probe finds time, memory and steps; the next plan reads it and the store has no run."""
    prober = Prober(tmp_path / "store", tmp_path, "cpu")
    spec = spec_of("momentum")
    found = prober.probe(spec)

    assert "measured" == found.outcome, found.message
    assert found == prober.known(spec)
    assert 7 == found.measured.steps_per_epoch
    assert found.measured.seconds_per_step > 0
    assert found.measured.peak_memory > 50 * 2**20
    assert found.measured.checkpoint > 0
    assert [] == list(RunStore.open(tmp_path / "store").runs())


def test_killed_probe_is_said(tmp_path, plugin):
    """A probe that the kernel would have killed for its memory is no measurement, and not kept."""
    prober = Prober(tmp_path / "store", tmp_path, "cpu", (plugin,))
    spec = spec_of("killed", plugin)
    found = prober.probe(spec)

    assert ("out_of_memory", None) == (found.outcome, found.measured)
    assert "was killed" in found.message
    assert prober.known(spec) is None


def test_slow_probe_is_ended(tmp_path):
    """Beyond its time a probe is killed, and says how long that was."""
    prober = Prober(tmp_path / "store", tmp_path, "cpu", limit=0.05)
    found = prober.probe(spec_of("sgd"))

    assert ("timed_out", "the probe took over 0.05 s") == (found.outcome, found.message)
    assert not (tmp_path / "store").exists()


def test_probe_ends_with_the_plan_that_wants_it(tmp_path, plugin):
    """Whoever plans may be killed: the probe and what it started are gone soon after."""
    words = ["plan", "quadratic_deep", "stuck", "--plugin", plugin, "--store", tmp_path / "store"]
    told = tmp_path / "stuck"
    command = [sys.executable, "-m", "normbench", *map(str, words)]
    planning = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, "STUCK": str(told)}
    )
    deadline = time.monotonic() + 60
    while not (told.is_file() and (pids := set(map(int, told.read_text().split())))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert pids == Processes().tree(min(pids)) & pids
    planning.send_signal(signal.SIGKILL)
    planning.wait()
    while any(Processes().tree(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_plan_leaves_nothing(tmp_path, plugin, number):
    """Either signal is an interruption, which ends the probe and clears its folder."""
    words = ["plan", "quadratic_deep", "stuck", "--plugin", plugin, "--store", tmp_path / "store"]
    told, temporary = tmp_path / "stuck", tmp_path / "temporary"
    temporary.mkdir()
    planning = subprocess.Popen(
        [sys.executable, "-m", "normbench", *map(str, words)],
        stderr=subprocess.PIPE,
        env={**os.environ, "STUCK": str(told), "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + 60
    while not (told.is_file() and (pids := set(map(int, told.read_text().split())))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(temporary.glob("normbench-probe-*"))
    planning.send_signal(number)
    _, errors = planning.communicate(timeout=60)

    assert (130, "interrupted.") == (planning.returncode, errors.decode().splitlines()[-1])
    assert not list(temporary.glob("normbench-probe-*"))
    assert not any(Processes().tree(pid) for pid in pids)


@pytest.mark.parametrize(
    ("optimizer", "outcome", "message"),
    [
        ("short_of_memory", "out_of_memory", "no room"),
        ("broken", "failed", "ZeroDivisionError: in a stranger's plugin"),
    ],
)
def test_failing_session_is_said(tmp_path, monkeypatch, plugin, optimizer, outcome, message):
    """What a stranger's code raises while the session is built is the probe's outcome."""
    found = probed_here(tmp_path, monkeypatch, spec_of(optimizer, plugin), plugin)

    assert (outcome, message) == (found.outcome, found.message)


def test_missing_file_of_data_is_said(tmp_path, monkeypatch):
    """A dataset that is not there fails with the command that fetches it."""
    found = probed_here(tmp_path, monkeypatch, spec_of("sgd", problem="fmnist_2c2d"))

    assert "failed" == found.outcome
    assert "is missing" in found.message


@pytest.mark.parametrize("optimizer", ["lbfgs", "schedule_free_sgd"])
def test_unusual_optimizers_are_probed(tmp_path, monkeypatch, optimizer):
    """Closures and averaged weights are timed as they train; refreshing averages has its own."""
    found = probed_here(tmp_path, monkeypatch, spec_of(optimizer, problem="digits_cnn_bn"))
    averages = optimizer == "schedule_free_sgd"

    assert "measured" == found.outcome, found.message
    assert averages == (found.measured.seconds_per_refresh > 0)
    assert found.measured.seconds_per_evaluation > 0
