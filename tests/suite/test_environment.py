"""What is recorded of where a run trained."""

from __future__ import annotations

import json
import os
import platform

import pytest
import torch

from normbench.environment import environment
from normbench.plugins import load_catalogue


@pytest.fixture
def recorded(monkeypatch):
    """Return what is recorded in this process, with one variable set and another missing."""
    monkeypatch.setenv("NORMBENCH_NORM_KERNELS", "0")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    return environment(torch.device("cpu"), load_catalogue())


def test_variables_that_choose_kernels_are_recorded(recorded):
    """Those that are set, as they are set, and no others."""
    assert "0" == recorded["variables"]["NORMBENCH_NORM_KERNELS"]
    assert "NVIDIA_TF32_OVERRIDE" not in recorded["variables"]


def test_versions_and_hardware_are_those_of_this_process(recorded):
    """Everything is a value of strict JSON."""
    assert recorded == json.loads(json.dumps(recorded, allow_nan=False))
    assert torch.__version__.startswith(recorded["versions"]["torch"])
    assert platform.python_version() == recorded["versions"]["python"]
    assert (os.cpu_count(), torch.get_num_threads()) == (
        recorded["hardware"]["cores"],
        recorded["threads"],
    )
