"""Rows of finished work: mean, spread and outcomes over the seeds of a cell at a setting."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from normbench.origins import in_words
from normbench.specs import RunSpec
from normbench.store import IndexedRun, RunState, StoredRun, index_run

_DONE = (RunState.FINISHED, RunState.DIVERGED)
# What the message says of them is all that there is to say.
_LIMITS = (RunState.TIMED_OUT, RunState.OUT_OF_MEMORY)


@dataclass(frozen=True, kw_only=True, repr=False)
class Row:
    """A cell at a setting, over its seeds.

    Attributes:
        spec: The spec of one of its seeds.
        scores: Score by seed, of finished and diverged runs.
        outcomes: Number of runs by state.
        seconds: Mean training seconds of a finished run; None before the first.
        fingerprints: All runs, by seed.
        messages: Why runs failed, by seed.
    """

    spec: RunSpec
    scores: Mapping[int, float]
    outcomes: Mapping[RunState, int]
    seconds: float | None = None
    fingerprints: Mapping[int, str] = field(default_factory=dict)
    messages: Mapping[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what the row is and how it stands, in a line."""
        spec = self.spec
        what = f"{spec.problem.name} {spec.norm_label} {spec.optimizer_label} {spec.protocol.name}"
        return f"<Row {what}: mean={self.mean} sd={self.sd} n={self.n}>"

    @property
    def n(self) -> int:
        """Number of scores."""
        return len(self.scores)

    @property
    def mean(self) -> float | None:
        """Mean score; None without scores."""
        return statistics.fmean(self.scores.values()) if self.scores else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None below two scores."""
        return statistics.stdev(self.scores.values()) if self.n > 1 else None

    @property
    def complete(self) -> bool:
        """Whether every run has ended with a result."""
        return all(state in _DONE for state in self.outcomes)

    @property
    def setting(self) -> str:
        """Where the hyper-parameters come from, for tables."""
        return in_words(self.spec.setting_origin)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as strict JSON values."""
        spec = self.spec
        return {
            "problem": spec.problem.name,
            "norm": spec.norm_label,
            "optimizer": spec.optimizer_label,
            "protocol": spec.protocol.name,
            "setting": self.setting,
            "hyperparameters": dict(spec.optimizer.parameters),
            "deviations": list(spec.deviations),
            "metric": spec.problem.metric.name,
            "n": self.n,
            "mean": self.mean,
            "sd": self.sd,
            "seconds": self.seconds,
            "outcomes": {state.value: count for state, count in self.outcomes.items()},
            "scores": {str(seed): score for seed, score in sorted(self.scores.items())},
            "runs": {str(seed): name for seed, name in sorted(self.fingerprints.items())},
            "messages": {str(seed): text for seed, text in sorted(self.messages.items())},
        }


def rows_of(runs: Iterable[StoredRun], known: Mapping[str, IndexedRun] | None = None) -> list[Row]:
    """Gather *runs* into rows, in the order in which rows first appear.

    Args:
        runs: The runs.
        known: What is known of each, by fingerprint; None to read it.
    """
    members = list(runs)
    known = {run.fingerprint: index_run(run) for run in members} if known is None else known
    by_row: dict[str, list[StoredRun]] = {}
    for run in members:
        by_row.setdefault(known[run.fingerprint].row, []).append(run)
    return [_row(of_row, known) for of_row in by_row.values()]


def _row(runs: list[StoredRun], known: Mapping[str, IndexedRun]) -> Row:
    entries = [known[run.fingerprint] for run in runs]
    finished = (entry for entry in entries if entry.state is RunState.FINISHED)
    seconds = [entry.seconds for entry in finished if entry.seconds is not None]
    waiting = [(e, run) for e, run in zip(entries, runs, strict=True) if not e.done and e.attempts]
    return Row(
        spec=runs[0].spec,
        scores={entry.seed: entry.score for entry in entries if entry.score is not None},
        outcomes=Counter(entry.state for entry in entries),
        seconds=statistics.fmean(seconds) if seconds else None,
        fingerprints={entry.seed: entry.fingerprint for entry in entries},
        messages={entry.seed: words for entry, run in waiting if (words := _message(run))},
    )


def _message(run: StoredRun) -> str:
    attempts = run.attempts()
    if not attempts:
        return ""
    traceback = attempts[-1].folder / "traceback.txt"
    told = attempts[-1].outcome in _LIMITS or not traceback.is_file()
    where = "" if told else f" (traceback: {traceback})"
    return attempts[-1].message + where
