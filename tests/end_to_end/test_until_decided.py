"""Seeds added until decided by the real command, killed for real in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "normbench", "run", "quadratic_deep", "sgd", "--until-decided")
WORDS = ("--stages", "5,7", "--protocol", "quick", "protocol.epochs=1", "lr=0.05", "--no-track")
DEADLINE = 100.0


def declarations(store):
    """Return the stages that the store has declared, as bytes."""
    files = sorted(store.glob("stages/*.json"))
    return [file.read_bytes() for file in files if ".decision" not in file.name]


def results(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.glob("runs/*/*/result.json")}


def wait_for_results(store: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the store has so many results."""
    deadline = time.monotonic() + DEADLINE
    while len(results(store)) < count:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, f"{len(results(store))} results"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_between_and_within_stages_it_goes_on_where_it_was(tmp_path):
    """After SIGKILL the same command keeps results and stages, and trains nothing twice."""
    store = tmp_path / "store"
    words = [*COMMAND, *WORDS, "--slots", "1", "--store", str(store)]
    first = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for_results(store, 3, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept = results(store)
    declared = declarations(store)
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    after = results(store)

    assert 0 == done.returncode, done.stderr
    assert kept == {path: after[path] for path in kept}
    assert len(after) in (10, 14)
    assert declared == declarations(store)
    assert "Decided at stage" in done.stdout or "Undecided after all stages" in done.stdout
    again = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)

    assert after == results(store)
    assert done.stdout.splitlines()[-3:] == again.stdout.splitlines()[-3:]
