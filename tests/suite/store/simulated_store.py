"""Fill a store with runs as if workers had trained them, without training: for measuring.

Called as a script: ``python simulated_store.py FOLDER ROWS SEEDS [TRIALS]``. 100 000 runs take some
minutes and 4 GB.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import socket
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import FIRST_TUNING_SEED, RunSpec
from normbench.store import RunStore
from normbench.store.layout import run_path
from normbench.store.leases import Lease

PROBLEMS = (
    "digits_cnn",
    "quadratic_deep",
    "cifar10_resnet20",
    "cifar100_3c3d",
)
NORMS = ("batch_norm", "group_norm", "layer_norm", "none")
OPTIMIZERS = ("sgd", "momentum", "adam", "adam_srt")
EPOCHS = 20
# What becomes of a run, up to which share of them; the rest is pending.
SHARES = {"finished": 0.7, "failed": 0.71, "interrupted": 0.715, "running": 0.7155}
DIVERGED = 0.02


def fill(root: Path, rows: int, seeds: int, trials: int = 0) -> None:
    """Make a store of *rows* times *seeds* runs, and of *trials* runs at a tuning seed."""
    RunStore.open(root, create=True)
    chance = random.Random(0)
    for spec in _specs(rows, seeds, trials):
        drawn = chance.random()
        fate = next((fate for fate, share in SHARES.items() if drawn < share), "pending")
        if fate == "finished" and chance.random() < DIVERGED:
            fate = "diverged"
        _write_run(run_path(root, spec.fingerprint), spec, fate)


def _specs(rows: int, seeds: int, trials: int) -> Iterator[RunSpec]:
    """Yield specs: the cells there are as they come, then at as many learning rates as it takes."""
    catalogue = load_catalogue()
    cells = [
        resolve(Request(problem=problem, optimizer=optimizer, norm=norm, seeds=1), catalogue)[0]
        for problem, norm, optimizer in product(PROBLEMS, NORMS, OPTIMIZERS)
    ]
    for number in range(rows):
        spec = _at_turn(cells[number % len(cells)], number // len(cells))
        for seed in range(seeds):
            yield dataclasses.replace(spec, seed=seed)
    for number in range(trials):
        spec = _at_turn(cells[number % len(cells)], 1 + number // len(cells))
        yield dataclasses.replace(spec, seed=FIRST_TUNING_SEED)


def _at_turn(cell: RunSpec, turn: int) -> RunSpec:
    return _with_rate(cell, 0.001 * turn) if turn else cell


def _with_rate(spec: RunSpec, rate: float) -> RunSpec:
    rate = round(rate, 6)
    parameters = {**spec.optimizer.parameters, "lr": rate}
    entry = spec.identity["optimizer"]
    entry = {**entry, "parameters": {**entry["parameters"], "lr": rate}}
    return dataclasses.replace(
        spec,
        optimizer=dataclasses.replace(spec.optimizer, parameters=parameters),
        identity={**spec.identity, "optimizer": entry},
        setting_origin="given",
    )


def _write_run(path: Path, spec: RunSpec, fate: str) -> None:
    folder = path / "attempts" / "0001"
    folder.parent.mkdir(parents=True)
    _write(path / "spec.json", spec.to_json() + "\n")
    if fate == "pending":
        return
    folder.mkdir()
    # A running one's lease is of a machine that is not this one, so that it does not look dead.
    host = "elsewhere" if fate == "running" else socket.gethostname()
    lease = Lease(token=spec.fingerprint, host=host, boot="-", pid=1, lease_seconds=1e9)
    _write_json(folder / "lease.json", lease.content())
    _write_json(folder / "environment.json", _environment(spec, host))
    epochs = EPOCHS if fate == "finished" else EPOCHS // 2
    points = [_point(epoch, _luck(spec)) for epoch in range(epochs + 1)]
    _write(folder / "journal.jsonl", "".join(f"{json.dumps(point)}\n" for point in points))
    if fate in ("finished", "diverged"):
        _write_json(folder / "result.json", _result(spec, points, fate))
        (path / "result.json").hardlink_to(folder / "result.json")
    elif fate == "failed":
        _write_json(folder / "outcome.json", {"outcome": fate, "message": "made to fail"})
    else:
        _write(folder / "heartbeat", "")
        if fate == "interrupted":
            os.utime(folder / "heartbeat", (1, 1))


def _luck(spec: RunSpec) -> float:
    """Return how much worse the run is than the best: by its row, by its seed, and by chance."""
    row, seed = random.Random(spec.row).random(), random.Random(spec.seed).random()
    return 0.3 * row + 0.05 * seed + 0.05 * random.Random(spec.fingerprint).random()


def _environment(spec: RunSpec, host: str) -> dict[str, Any]:
    commit = f"{spec.seed % 3:040x}"
    return {
        "versions": {"python": "3.11.2", "normbench": "0.1.0", "torch": "2.15", "numpy": "2.3"},
        "hardware": {"device": "some processor", "processor": "some processor", "cores": 2},
        "git": {"commit": commit, "dirty": False},
        "host": host,
        "platform": "Linux",
        "command": ["normbench", "worker", "--slots", str(spec.seed % 8)],
        "threads": 1,
        "plugins": ["normbench_plugins", "normbench_problems", "normbench_baselines"],
    }


def _point(epoch: int, luck: float) -> dict[str, Any]:
    loss = 2.0 / (1 + epoch) + luck
    scores = {"loss": loss, "accuracy": 1 / (1 + loss)}
    parts = ("train", "validation", "test") if epoch else ("validation", "test")
    times = {"train_seconds": 1.5 * epoch, "evaluation_seconds": 0.1 * epoch}
    return {
        "epoch": epoch,
        "step": 45 * epoch,
        "time": 1.7e9 + epoch,
        "lr": 0.1,
        **times,
        **dict.fromkeys(parts, scores),
    }


def _result(spec: RunSpec, points: list[dict[str, Any]], outcome: str) -> dict[str, Any]:
    last, metric = points[-1], spec.problem.metric
    part, _, quantity = metric.name.partition("_")
    return {
        "schema": 1,
        "fingerprint": spec.fingerprint,
        "outcome": outcome,
        "diverged_at_step": 25 if outcome == "diverged" else None,
        "metric": metric.name,
        "score": last[part][quantity] if outcome == "finished" else metric.worst,
        "final": last,
        "best": last,
        "epochs": last["epoch"],
        "steps": last["step"],
        "gradient_evaluations": last["step"],
        "train_seconds": last["train_seconds"],
        "evaluation_seconds": last["evaluation_seconds"],
        "images_per_second": 1000.0,
        "peak_memory_mb": 100.0 + 20 * _luck(spec),
        "time_to_target": _time_to_target(spec, points),
        "weights_sha256": "0" * 64,
        "engine": "eager",
        "device": "cpu",
        "shared": False,
        "attempt": 1,
        "finished_at": 1.7e9,
    }


def _time_to_target(spec: RunSpec, points: list[dict[str, Any]]) -> dict[str, Any]:
    target = spec.problem.metric.target
    first = next((p for p in points if target and p["test"]["accuracy"] >= target), None)
    return {
        "target": target,
        "reached": first is not None,
        "epochs": first and first["epoch"],
        "seconds": first and first["train_seconds"],
    }


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *map(int, sys.argv[2:]))
