"""Reading DeepOBS's results, one JSON file a run, whichever version wrote them.

Files lie at PROBLEM/OPTIMIZER/SETTING/random_seed__SEED__TIME.json. Versions differ in names:

=============== ======================= ==================== ================
what            1.1                     1.2                  develop, cockpit
=============== ======================= ==================== ================
optimizer       ``optimizer``           ``optimizer_name``   as 1.2
setting         ``hyperparams`` beside  ``optimizer_hyper-   as 1.2
                ``learning_rate``       params``
L2 coefficient  ``weight_decay``        ``weight_decay``     ``l2_reg``
training        ``lr_sched_epochs``,    ``training_params``  may be missing
                ``lr_sched_factors``
validation      none                    ``valid_losses`` ... as 1.2
=============== ======================= ==================== ================
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from normbench.errors import UsageError

Dialect = Literal["1.1", "1.2", "develop"]
FILE_PATTERN = "random_seed__*.json"
PARTS: Mapping[str, str] = {"train": "train", "valid": "validation", "test": "test"}
METRICS: Mapping[str, str] = {"losses": "loss", "accuracies": "accuracy"}
_LEARNING_RATES = ("lr", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class DeepobsRun:
    """One run of DeepOBS.

    Attributes:
        path: Its file.
        dialect: Which version wrote it.
        problem: Test problem.
        optimizer: Class name of the optimizer.
        setting: Name of the folder that holds all seeds of the setting.
        seed: Random seed.
        epochs: Epochs asked for.
        batch_size: Examples in a batch.
        weight_decay: L2 coefficient; None for the problem's default.
        hyperparameters: The optimizer's, the learning rate ``lr`` among them in every dialect.
        training_parameters: Such as a schedule of the learning rate.
        curves: By part (``train``, ``validation``, ``test``) and metric (``loss``, ``accuracy``):
            one value before training and one after each epoch. Losses include the L2 term.
    """

    path: Path
    dialect: Dialect
    problem: str
    optimizer: str
    setting: str
    seed: int
    epochs: int
    batch_size: int
    weight_decay: float | None
    hyperparameters: Mapping[str, Any]
    training_parameters: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, tuple[float, ...]]]

    @property
    def metric(self) -> str:
        """``accuracy``, or ``loss`` where the problem has no accuracy."""
        return "accuracy" if "accuracy" in self.curves["test"] else "loss"

    @property
    def diverged_epoch(self) -> int | None:
        """The first epoch whose values are lost to divergence; None if the run finished.

        DeepOBS 1.1 goes on with NaN. Later versions say nothing: they stop, and fill what is left
        of every curve with its value before training.
        """
        bad = [_first_bad(curve) for part in self.curves.values() for curve in part.values()]
        found = [epoch for epoch in bad if epoch is not None]
        if found:
            return min(found)
        masked = max(
            _first_masked(curve) for part in self.curves.values() for curve in part.values()
        )
        return masked if masked <= self._last else None

    @property
    def status(self) -> Literal["finished", "diverged"]:
        """Whether training came to its end, as far as the curves tell."""
        return "finished" if self.diverged_epoch is None else "diverged"

    @property
    def final(self) -> float:
        """The test metric after the last epoch."""
        return self.curves["test"][self.metric][-1]

    @property
    def best(self) -> float:
        """The best test metric after any epoch; NaN where none is finite."""
        values = [value for value in self.curves["test"][self.metric] if math.isfinite(value)]
        if not values:
            return math.nan
        return max(values) if self.metric == "accuracy" else min(values)

    @property
    def _last(self) -> int:
        return len(self.curves["test"]["loss"]) - 1


def read_results(folder: Path) -> list[DeepobsRun]:
    """Return all runs below *folder*, or the one run if it is a file, in the order of their paths.

    Raises:
        UsageError: If there are none, or one cannot be read.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob(FILE_PATTERN))
    if not files:
        problem = "holds no DeepOBS results" if folder.is_dir() else "does not exist"
        raise UsageError(
            f"{folder} {problem}. Give a folder with files "
            "PROBLEM/OPTIMIZER/SETTING/random_seed__SEED__TIME.json, at any depth."
        )
    return [read_run(file) for file in files]


def read_run(file: Path) -> DeepobsRun:
    """Return the run in *file*.

    Raises:
        UsageError: If it is not a DeepOBS result.
    """
    try:
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise _unreadable(file, f"it holds a {type(content).__name__}, expected an object")
        return _run(file, content)
    except KeyError as error:
        raise _unreadable(file, f"it has no {error.args[0]!r}") from None
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise _unreadable(file, str(error)) from None


def _run(file: Path, content: Mapping[str, Any]) -> DeepobsRun:
    first = "optimizer_name" not in content
    curves = _curves(content)
    if not curves.get("test", {}).get("loss"):
        raise KeyError("test_losses")
    return DeepobsRun(
        path=file,
        dialect="1.1" if first else "develop" if "l2_reg" in content else "1.2",
        problem=str(content["testproblem"]),
        optimizer=str(content["optimizer" if first else "optimizer_name"]),
        setting=file.parent.name,
        seed=int(content["random_seed"]),
        epochs=int(content["num_epochs"]),
        batch_size=int(content["batch_size"]),
        weight_decay=_number(content.get("weight_decay", content.get("l2_reg"))),
        hyperparameters=_hyperparameters(content, first=first),
        training_parameters=_training_parameters(content, first=first),
        curves=curves,
    )


def _hyperparameters(content: Mapping[str, Any], *, first: bool) -> dict[str, Any]:
    """Return the setting with its learning rate, first of all, under one name."""
    given = dict(content["hyperparams" if first else "optimizer_hyperparams"])
    rates = [
        source[name] for source in (given, content) for name in _LEARNING_RATES if name in source
    ]
    rest = {name: value for name, value in given.items() if name not in _LEARNING_RATES}
    return {"lr": rates[0], **rest} if rates else rest


def _training_parameters(content: Mapping[str, Any], *, first: bool) -> dict[str, Any]:
    names = ("lr_sched_epochs", "lr_sched_factors")
    given = {name: content.get(name) for name in names} if first else content.get("training_params")
    return {name: value for name, value in (given or {}).items() if value is not None}


def _curves(content: Mapping[str, Any]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the curves that are there; an empty list is none."""
    return {
        part: {
            metric: tuple(float(value) for value in content[f"{prefix}_{suffix}"])
            for suffix, metric in METRICS.items()
            if content.get(f"{prefix}_{suffix}")
        }
        for prefix, part in PARTS.items()
        if content.get(f"{prefix}_losses")
    }


def _first_bad(curve: Sequence[float]) -> int | None:
    """Return the first epoch with a non-finite value; one missing before training is none."""
    return next((i for i, value in enumerate(curve) if i and not math.isfinite(value)), None)


def _first_masked(curve: Sequence[float]) -> int:
    """Return the epoch from which *curve* stays at its value before training; else its length."""
    first = len(curve)
    while first > 1 and curve[first - 1] == curve[0]:
        first -= 1
    return first


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _unreadable(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"{file} is not a DeepOBS result: {reason}. Repair it, or move it out of the folder."
    )
