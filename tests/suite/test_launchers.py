"""The local launcher: workers that die are replaced, and a run that kills them is set aside."""

from __future__ import annotations

import os

import pytest

from normbench import UsageError
from normbench.api import Launching, launch
from normbench.launchers.local import devices
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState

DEADLY = """
import os, signal
import normbench, torch

class Deadly(torch.optim.SGD):
    def step(self, closure=None):
        if self.defaults["lr"] > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(closure)

def deadly(groups, *, lr):
    return Deadly(groups, lr=lr)

@normbench.hookimpl
def normbench_optimizers():
    lr = normbench.Parameter(name="lr", kind="float", default=0.1, summary="deadly above 1", low=0)
    return [normbench.Optimizer(name="deadly", summary="d", factory=deadly, parameters=(lr,))]
"""


@pytest.mark.slow
def test_run_that_kills_its_worker_is_set_aside_and_the_rest_goes_on(tmp_path):
    """After three workers died on one run it is closed as killed; the other run finishes."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(DEADLY)
    catalogue = load_catalogue([plugin])
    specs = [
        resolve(
            Request(
                problem="digits_cnn",
                optimizer="deadly",
                words=[f"lr={lr}", "protocol.epochs=1"],
                seeds=[0],
            ),
            catalogue,
        )[0]
        for lr in (5, 0.1)
    ]
    report = launch(specs, catalogue, Launching(store=tmp_path / "store", slots=1, track=False))

    killed, finished = report.rows
    assert {RunState.KILLED: 1} == killed.outcomes
    assert "SIGKILL, 3 times over" in killed.messages[0]
    assert {RunState.FINISHED: 1} == finished.outcomes
    assert not report.complete


def test_processor_has_a_slot_for_each_core_this_process_may_use():
    """Without --slots every core trains one run."""
    assert ["cpu"] * len(os.sched_getaffinity(0)) == devices("cpu", None)
    assert ["cpu"] * 5 == devices("cpu", 5)


def test_gpus_are_pinned_one_a_slot(monkeypatch):
    """Each visible GPU has its slots; a number chooses one of them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    assert ["cuda:0", "cuda:1"] == devices("auto", None)
    assert ["cuda:0", "cuda:0", "cuda:1", "cuda:1"] == devices("cuda", 2)
    assert ["cuda:1"] == devices("cuda:1", None)
    with pytest.raises(UsageError, match="this machine has 2 GPUs"):
        devices("cuda:2", None)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1", ""])
def test_unknown_device_lists_the_known_ones(device, monkeypatch):
    """A device is auto, cpu, cuda or cuda:N."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        devices(device, None)
