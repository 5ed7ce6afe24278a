"""Measure what commands take with a store of very many runs, and print a table.

Called as a script: ``python measure_big_store.py FOLDER [--rows N] [--seeds N] [--only TEXT]``. A
FOLDER that is missing is filled by ``simulated_store.py`` first. Its index is deleted and made
anew, and one of its runs is claimed. Files are as warm as the machine has them: nothing is dropped
from its caches. Processor time counts the helpers that a command starts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import simulated_store

_REFERENCE = ("layer_norm+sgd", "batch_norm+sgd")
_INDEX = "import sys; from pathlib import Path; from normbench.store import RunStore as S; "
_INDEX += "S.open(Path(sys.argv[1])).index().runs"
_CLAIM = "import sys; from pathlib import Path; from normbench.store import RunStore as S; "
_CLAIM += "from normbench.store.queue import Queue; Queue(S.open(Path(sys.argv[1]))).take({})"
_LOOKS = """
import resource, sys, time
from pathlib import Path
from normbench.live import Watch
from normbench.store import RunStore
store = RunStore.open(Path(sys.argv[1]))
watch = Watch(store, store.index().runs)
for look in range(5):
    started = time.process_time()
    watch.views()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"look {look}: {time.process_time() - started:.2f} s, {used:.0f} MB", file=sys.stderr)
"""
_STATUS = """
import resource, sys, time
from normbench.cli import main
looks = []
def rest(seconds):
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    looks.append(time.process_time())
    took = looks[-1] - (looks[-2] if len(looks) > 1 else 0)
    print(f"look {len(looks)}: {took:.2f} s, {used:.0f} MB", file=sys.stderr)
    if len(looks) == 5:
        sys.exit()
time.sleep = rest
sys.argv = ["normbench", "status", "--watch", "--store", sys.argv[1]]
main()
"""


class Taken(NamedTuple):
    """What a command took.

    Attributes:
        wall: Seconds.
        processor: Seconds of user and system together.
        memory: Largest resident set of one of its processes, in MB.
        code: Its exit code.
    """

    wall: float
    processor: float
    memory: float
    code: int


def measure(words: Sequence[str], out: Path) -> Taken:
    """Run a command with its output in the file *out* and return what it took."""
    with out.open("wb") as file:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, *words], stdout=file)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Taken(wall, seconds, used.ru_maxrss / 1024, process.returncode)


def suite_of_all(rows: int, seeds: int) -> str:
    """Return a suite of the simulated rows, but for those of the last learning rate."""
    cells = len(simulated_store.PROBLEMS) * len(simulated_store.NORMS)
    cells *= len(simulated_store.OPTIMIZERS)
    rates = [round(0.001 * turn, 6) for turn in range(1, rows // cells)]
    optimizers = [*simulated_store.OPTIMIZERS]
    optimizers += [
        f"{{name: {name}, lr: {rate}}}" for name in simulated_store.OPTIMIZERS for rate in rates
    ]
    lines = ["title: All", f"seeds: {seeds}"]
    lines += [f"problems: [{', '.join(simulated_store.PROBLEMS)}]"]
    lines += [f"norms: [{', '.join(simulated_store.NORMS)}]", "optimizers:"]
    return "\n".join([*lines, *(f"  - {each}" for each in optimizers)]) + "\n"


def commands(store: str, few: Path, many: Path) -> list[tuple[str, list[str], bool]]:
    """Return what is measured: its name, the command, and whether the index goes before it."""

    def said(*words: str) -> list[str]:
        return ["-m", "normbench", *words, "--store", store]

    plan = ("--no-probe", "--json", "--device", "cpu")
    board = said("leaderboard", "--format", "json")
    compare = said("compare", *_REFERENCE, "--problem", "digits_cnn", "--format", "json")
    found = [
        ("leaderboard without an index", board, True),
        ("index anew", ["-c", _INDEX, store], True),
        ("status", said("status"), False),
        ("plan of 640 runs", said("plan", str(few), *plan), False),
        ("plan of all runs", said("plan", str(many), *plan), False),
    ]
    tables = {
        "leaderboard": board,
        "norms": said("norms", "--format", "json"),
        "optimizers": said("optimizers", "--format", "json"),
        "compare": compare,
    }
    for name, words in tables.items():
        found += [(f"{name} made", words, False), (f"{name} again", words, False)]
    return [
        *found,
        ("status --watch, 5 looks", ["-c", _STATUS, store], False),
        ("live.Watch, 5 looks", ["-c", _LOOKS, store], False),
        ("claim the next run", ["-c", _CLAIM, store], False),
    ]


def main(store: Path, rows: int, seeds: int, only: str) -> None:
    """Measure the commands whose titles hold the text *only*, and print what they took."""
    if not store.exists():
        simulated_store.fill(store, rows, seeds)
    os.environ["OMP_NUM_THREADS"] = "1"
    _say("| command | wall s | user + system s | MB | exit | load |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name, "few.yaml"), Path(name, "many.yaml")
        few.write_text(suite_of_all(64, seeds), encoding="utf-8")
        many.write_text(suite_of_all(rows, seeds), encoding="utf-8")
        for title, words, anew in commands(str(store), few, many):
            if only not in title:
                continue
            if anew:
                shutil.rmtree(store / "index", ignore_errors=True)
            taken = measure(words, Path(name, "out"))
            cells = f"{taken.wall:.2f} | {taken.processor:.2f} | {taken.memory:.0f} | {taken.code}"
            _say(f"| {title} | {cells} | {os.getloadavg()[0]:.1f} |")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", help="measure what has this text in its title")
    main(**vars(parser.parse_args()))
