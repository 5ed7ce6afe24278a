"""Summaries of DeepOBS results: one for each setting of an optimizer on a problem."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.bridges.deepobs.reader import DeepobsRun


@dataclass(frozen=True, kw_only=True)
class SettingSummary:
    """All seeds of one setting.

    Attributes:
        runs: Its runs, by seed.
    """

    runs: tuple[DeepobsRun, ...]

    @property
    def finished(self) -> tuple[DeepobsRun, ...]:
        """The runs that did not diverge."""
        return tuple(run for run in self.runs if run.status == "finished")

    @property
    def final(self) -> tuple[float, ...]:
        """Test metric after the last epoch of each finished run."""
        return tuple(run.final for run in self.finished)

    @property
    def best(self) -> tuple[float, ...]:
        """Best test metric of each finished run."""
        return tuple(run.best for run in self.finished)

    @property
    def setting(self) -> dict[str, Any]:
        """What tells this setting from others of the optimizer."""
        run = self.runs[0]
        decay = {} if run.weight_decay is None else {"weight_decay": run.weight_decay}
        sizes = {"epochs": run.epochs, "batch_size": run.batch_size}
        return {**run.hyperparameters, **run.training_parameters, **decay, **sizes}

    @property
    def status(self) -> str:
        """Number of runs by status, in words."""
        counts = {"finished": len(self.finished), "diverged": len(self.runs) - len(self.finished)}
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as strict JSON values; what is not finite is null."""
        run = self.runs[0]
        return {
            "problem": run.problem,
            "optimizer": run.optimizer,
            "dialect": run.dialect,
            "setting": strict(self.setting),
            "folder": run.setting,
            "metric": f"test_{run.metric}",
            "n": len(self.finished),
            "final": _moments(self.final),
            "best": _moments(self.best),
            "runs": [_record(run) for run in self.runs],
        }


def summarise(runs: Iterable[DeepobsRun]) -> list[SettingSummary]:
    """Gather *runs* by the folder they lie in, in the order in which folders first appear."""
    by_folder: dict[Any, list[DeepobsRun]] = {}
    for run in runs:
        by_folder.setdefault((run.path.parent, run.problem, run.optimizer), []).append(run)
    return [
        SettingSummary(runs=tuple(sorted(members, key=lambda run: run.seed)))
        for members in by_folder.values()
    ]


def strict(value: Any) -> Any:
    """Return *value* with numbers that strict JSON lacks as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def _moments(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
    }


def _record(run: DeepobsRun) -> dict[str, Any]:
    return {
        "file": str(run.path),
        "seed": run.seed,
        "status": run.status,
        "diverged_epoch": run.diverged_epoch,
        "final": strict(run.final),
        "best": strict(run.best),
        "curves": strict(run.curves),
    }
