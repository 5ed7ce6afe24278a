"""Measured results say how they came about."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

FOLDER = files("normbench_baselines") / "measured"
FILES = sorted((file for file in FOLDER.iterdir() if file.name.endswith(".json")), key=str)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_measured_result_names_command_hardware_versions_and_n(file):
    """Whoever doubts a number can measure it again."""
    content = json.loads(file.read_text(encoding="utf-8"))

    assert content["command"].startswith("normbench ")
    assert content["n"] >= 1
    assert {"hardware", "torch", "threads"} <= content["conditions"].keys()
