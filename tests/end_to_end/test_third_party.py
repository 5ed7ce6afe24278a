"""A stranger's package: built, installed without network, and run by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "normbench-example"


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Return the Python of an environment that sees the current one and the example package."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    current = sysconfig.get_path("purelib")
    seen = Path(paths.stdout.strip()) / "current.pth"
    seen.write_text(f"import site; site.addsitedir({current!r})\n")
    source = shutil.copytree(EXAMPLE, folder / "source")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([python, "-m", "pip", "install", *offline, source], check=True)
    return python


def normbench(python: Path, *words: str, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line in the environment."""
    command = [python, "-m", "normbench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_installed_plugin_is_listed_with_its_distribution(python):
    """Norm, optimizer and problem appear beside the built-in ones, with their origin."""
    found = {
        kind: json.loads(normbench(python, "list", kind, "--json").stdout)
        for kind in ("norms", "optimizers", "problems", "plugins")
    }

    assert "max_norm" in json.dumps(found["norms"])
    assert "signum" in json.dumps(found["optimizers"])
    assert "wine_mlp" in json.dumps(found["problems"])
    assert "normbench-example 1.0.0" in json.dumps(found["plugins"])


def test_installed_plugin_runs_by_name(python, tmp_path):
    """A third party's problem, optimizer and norm train through the command line."""
    words = ("run", "wine_mlp", "signum", "--norm", "max_norm", "norm.eps=0.001")
    options = ("--seeds", "2", "--store", str(tmp_path / "store"), "--no-track", "--json")
    done = normbench(python, *words, "protocol.epochs=5", *options)

    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert {"finished": 2} == row["outcomes"]
    assert row["mean"] > 0.8


def test_disabled_plugin_is_not_loaded(python, tmp_path):
    """Its names are unknown once the variable names it."""
    environment = {"NORMBENCH_DISABLE_PLUGINS": "example", "PATH": "/usr/bin:/bin"}
    done = normbench(python, "run", "wine_mlp", "sgd", env=environment, cwd=tmp_path)

    assert 2 == done.returncode
    assert "unknown problem 'wine_mlp'" in done.stderr


def test_broken_plugin_leaves_the_rest_alone(python, tmp_path):
    """A package that fails to import costs one warning, and an error only where it is needed."""
    broken = tmp_path / "broken_plugin-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[normbench]\nbroken = no_such_module\n")
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    listed = normbench(python, "list", "norms", env=environment, cwd=tmp_path)
    needed = normbench(
        python, "run", "digits_cnn", "their_optimizer", env=environment, cwd=tmp_path
    )

    assert 0 == listed.returncode
    assert "broken-plugin 1.0" in listed.stderr
    assert 2 == needed.returncode
    assert "failed to load: broken (ModuleNotFoundError" in needed.stderr
    assert "Traceback" not in listed.stderr + needed.stderr
