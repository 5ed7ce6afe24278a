"""The one-node SLURM that start_one_node_slurm.sh starts, for the tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGURATION = "/var/lib/normbench-slurm/slurm.conf"
_START = "start it with tests/slurm/start_one_node_slurm.sh, or run: make test-slurm"
_SECONDS = 20.0


@pytest.fixture(scope="session", autouse=True)
def configuration() -> str:
    """The cluster's configuration; where no such cluster answers, all is skipped."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    path = os.environ.get("SLURM_CONF", CONFIGURATION)
    if reason := why_not(path):
        pytest.skip(reason)
    return path


def why_not(configuration: str) -> str:
    """Return why there is no cluster to test on; empty if there is one."""
    if shutil.which("sbatch") is None:
        return f"SLURM is not installed; {_START}"
    # Without this file sinfo looks for a controller on the network, for a minute.
    if not Path(configuration).is_file():
        return f"there is no SLURM configuration {configuration}; {_START}"
    # Jobs are ended by their name here; never on a cluster that people use.
    if "ClusterName=normbench\n" not in Path(configuration).read_text():
        return f"{configuration} is of another cluster; unset SLURM_CONF and {_START}"
    command = ["sinfo", "--noheader", "--format=%G"]
    here = {**os.environ, "SLURM_CONF": configuration}
    try:
        seen = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, env=here)
    except subprocess.TimeoutExpired:
        return f"SLURM gives no answer; {_START}"
    if seen.returncode or seen.stdout.strip() != "gpu:4":
        return f"no one-node SLURM with four fake GPUs answers; {_START}"
    return ""


@pytest.fixture(autouse=True)
def cluster(configuration, monkeypatch):
    """Point SLURM's commands at the cluster, and leave no job behind."""
    monkeypatch.setenv("SLURM_CONF", configuration)
    # The documented sbatch file calls normbench by name.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    yield
    here = {**os.environ, "SLURM_CONF": configuration}
    subprocess.run(["scancel", "--name=normbench"], check=True, env=here)
