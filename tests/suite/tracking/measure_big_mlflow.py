"""Measure tables that are read from an MLflow with very many runs, and print what they took.

Called as a script: ``python measure_big_mlflow.py STORE [--uri URI] [--rows N] [--seeds N]``. A
STORE that is missing is filled by ``store/simulated_store.py`` first; of 100 of its runs 72 have
begun and are copied to MLflow, by default on SQLite in the store. URI may be that of another
database, such as an empty PostgreSQL. Each table is also made from the store itself, and both must
be the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_FILL = Path(__file__).parents[1] / "store" / "simulated_store.py"
_TABLES = {
    "leaderboard": ("leaderboard",),
    "leaderboard of one problem": ("leaderboard", "--problem", "digits_cnn"),
    "norms": ("norms",),
    "optimizers": ("optimizers",),
    "compare": ("compare", "layer_norm+sgd", "batch_norm+sgd", "--problem", "digits_cnn"),
}
_SOURCES = ("store", "mlflow")


def run(title: str, words: Sequence[str]) -> bytes:
    """Run a command, print what it took, and return what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    started = time.monotonic()
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    line = f"| {title} | {time.monotonic() - started:.1f} | {used:.1f} |"
    sys.stdout.write(f"{line} {os.getloadavg()[0]:.1f} |\n")
    sys.stdout.flush()
    return done.stdout


def main(store: Path, uri: str, rows: int, seeds: int) -> None:
    """Fill what is missing, then measure."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MLFLOW_TRACKING_URI"] = uri
    sys.stdout.write("| command | wall s | user s | load |\n|---|---|---|---|\n")
    if not store.exists():
        run("fill", [str(_FILL), str(store), str(rows), str(seeds)])
    place = ("--store", str(store))
    run("sync", ["-m", "normbench", "sync", *place])
    for title, words in _TABLES.items():
        command = ["-m", "normbench", *words, "--format", "json", *place]
        shown = [run(f"{title}, {source}", [*command, "--source", source]) for source in _SOURCES]
        sys.stdout.write("the same\n" if shown[0] == shown[1] else "NOT the same\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--uri", default="", help="of MLflow; by default the store's own database")
    parser.add_argument("--rows", type=int, default=1_400)
    parser.add_argument("--seeds", type=int, default=10)
    main(**vars(parser.parse_args()))
