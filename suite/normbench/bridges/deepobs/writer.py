"""Writing runs of a store as DeepOBS 1.2 would have written them.

What the form cannot say:

- Losses are without the L2 term, which DeepOBS adds to all of them.
- The training curve is of running sums over each epoch, unless the protocol evaluates a training
  subset. Its value before training is then that of the validation part, which is drawn from the
  same examples, or of the test part. Epochs without an evaluation are NaN.
- A diverged run is filled up with its values before training, as DeepOBS does.
- There are no losses of single batches.
- Norm, ablation and protocol have no field. They stand in ``training_params``, together with the
  row's fingerprint, so that no two rows share a folder.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normbench.bridges.deepobs.reader import METRICS
from normbench.errors import UsageError
from normbench.specs import RunSpec
from normbench.store import RunState, StoredRun
from normbench.store.files import explained, open_folder, write_whole

_WRITTEN = (RunState.FINISHED, RunState.DIVERGED)
_ROW_DIGITS = 8
_LONGEST_NAME = 200
_TAIL = len("__row__") + _ROW_DIGITS
# A training subset is what DeepOBS evaluates; running sums stand in for it.
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "train": ("train_subset", "train"),
    "valid": ("validation",),
    "test": ("test",),
}


def write_results(runs: Iterable[StoredRun], folder: Path) -> list[Path]:
    """Write the finished and diverged *runs* below *folder* and return the files.

    The same run always goes to the same file, which appears whole.

    Raises:
        UsageError: If none of the runs has a result, or *folder* is a file.
        StoreError: If a file cannot be written.
    """
    done = [run for run in runs if run.state() in _WRITTEN]
    if not done:
        raise UsageError(
            "none of the runs chosen has a result that could be written. See: normbench status"
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: expected a folder to write to. Give another name.")
    return [_write(run, folder) for run in done]


def setting_folder(content: Mapping[str, Any]) -> str:
    """Return the name of the folder that DeepOBS 1.2 keeps a setting in.

    Epochs, batch size, L2 coefficient if given, then hyper-parameters and training parameters, each
    in alphabetical order. A name too long for a file system loses its middle.
    """
    parts = {"num_epochs": content["num_epochs"], "batch_size": content["batch_size"]}
    if content["weight_decay"] is not None:
        parts["weight_decay"] = content["weight_decay"]
    words = [*parts.items()]
    for section in ("optimizer_hyperparams", "training_params"):
        words += sorted((n, v) for n, v in content[section].items() if v is not None)
    name = "__".join(f"{word}__{_shown(value)}" for word, value in words)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - _TAIL] + name[-_TAIL:]


def _write(run: StoredRun, folder: Path) -> Path:
    content = _content(run)
    finished = (run.result() or {}).get("finished_at", 0.0)
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(finished))
    names = (content["testproblem"], content["optimizer_name"], setting_folder(content))
    home = folder.joinpath(*names)
    name = f"random_seed__{content['random_seed']}__{stamp}.json"
    with explained("write", home / name):
        home.mkdir(parents=True, exist_ok=True)
        with open_folder(home) as descriptor:
            write_whole(name, json.dumps(content, indent=4).encode(), folder=descriptor)
    return home / name


def _content(run: StoredRun) -> dict[str, Any]:
    """Return what DeepOBS 1.2 would have put into the file of *run*."""
    spec = run.spec
    hyperparameters = dict(spec.optimizer.parameters)
    decay = hyperparameters.pop("weight_decay", None)
    return {
        "testproblem": _file_name(spec.problem.name),
        "batch_size": spec.problem.training.batch_size,
        "num_epochs": spec.epochs,
        "random_seed": spec.seed,
        "weight_decay": decay,
        "optimizer_name": _file_name(spec.optimizer.name),
        "optimizer_hyperparams": hyperparameters,
        "training_params": _training_parameters(spec),
        "minibatch_train_losses": [],
        **_curves(run.points(), spec.epochs),
    }


def _training_parameters(spec: RunSpec) -> dict[str, Any]:
    norm = {} if spec.norm.name == "none" else {"norm": spec.norm.name}
    return {**norm, "protocol": spec.protocol.name, "row": spec.row[:_ROW_DIGITS]}


def _curves(points: Iterable[Mapping[str, Any]], epochs: int) -> dict[str, list[float]]:
    """Return DeepOBS's lists: a value before training and one after each epoch."""
    by_epoch = {point["epoch"]: point for point in points}
    first: Mapping[str, Any] = by_epoch.get(0, {})
    curves = {}
    for prefix, sources in _SOURCES.items():
        part = next((s for s in sources if any(s in p for p in by_epoch.values())), "")
        start: Mapping[str, float] = next(
            (first[s] for s in (part, "validation", "test") if s in first), {}
        )
        for suffix, metric in METRICS.items():
            rest = [by_epoch[e].get(part, {}).get(metric, math.nan) for e in sorted(by_epoch) if e]
            values = [start.get(metric, math.nan), *rest]
            if part and any(map(math.isfinite, values)):
                curves[f"{prefix}_{suffix}"] = values + values[:1] * (epochs + 1 - len(values))
    return curves


def _shown(value: Any) -> str:
    """Return *value* as DeepOBS writes it: 0.01 as ``1.e-02``, anything but a float as it is."""
    if not isinstance(value, float):
        return _file_name(str(value))
    mantissa, _, exponent = f"{value:.10e}".partition("e")
    return f"{mantissa.rstrip('0')}e{exponent}"


def _file_name(text: str) -> str:
    """Return *text* without what separates folders."""
    return text.replace("/", "-").replace(os.sep, "-")
