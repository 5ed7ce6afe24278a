"""New packages of every kind: built, installed without network, tested and run by name."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from normbench.scaffold import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """Return a new package of each kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        words = ("new-plugin", f"of_mine_{kind}", f"--{kind}", "--to", str(folder))
        subprocess.run([sys.executable, "-m", "normbench", *words], check=True)
    return {kind: folder / f"normbench-of-mine-{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def python(packages, tmp_path_factory) -> Path:
    """Return the Python of an environment that sees the current one and the new packages."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    current = sysconfig.get_path("purelib")
    (Path(site) / "current.pth").write_text(f"import site; site.addsitedir({current!r})\n")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    install = [python, "-m", "pip", "install", *offline, *packages.values()]
    subprocess.run(install, check=True)
    return python


def test_new_packages_are_listed(python):
    """Each is offered under its name, by its distribution."""
    command = [python, "-m", "normbench", "list", "--json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    for kind in KINDS:
        origins = {record["name"]: record["origin"] for record in listed[f"{kind}s"]}
        assert f"normbench-of-mine-{kind} 0.1.0" == origins[f"of_mine_{kind}"]


def test_new_packages_pass_their_own_tests(python, packages):
    """The tests written with them pass in the environment they are installed in."""
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir=/")
    tests = [str(folder / "tests") for folder in packages.values()]
    command = [python, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout[-4000:]


def test_new_packages_run_together_by_name(python, tmp_path):
    """A new problem trains with a new optimizer and a new norm."""
    names = ("of_mine_problem", "of_mine_optimizer", "--norm", "of_mine_norm")
    options = ("--seeds", "1", "--no-track", "--json", "protocol.epochs=3", "--store")
    command = [python, "-m", "normbench", "run", *names, *options, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert {"finished": 1} == row["outcomes"]
    assert row["mean"] > 0.8
