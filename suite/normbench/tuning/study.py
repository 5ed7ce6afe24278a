"""A study: the trials of one cell, and what became of them. Values only; reads no store."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from normbench.descriptions import Metric
from normbench.parameters import Value
from normbench.tuning.space import Space

DEFAULT_NUMBER = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting of a study, trained at every tuning seed.

    Attributes:
        number: From 1, in the order in which trials were drawn; 0 is the default setting.
        values: Value by word, such as ``{"lr": 0.1, "norm.num_groups": 4}``.
        runs: Fingerprint of the run at each tuning seed.
        scores: Validation score by tuning seed, of runs that finished.
        tests: Test score by tuning seed of the same epoch; for the record, nothing is chosen by it.
        diverged: Tuning seeds whose run diverged.
    """

    number: int
    values: Mapping[str, Value]
    runs: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    tests: Mapping[int, float] = field(default_factory=dict)
    diverged: frozenset[int] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether every run has ended with a result."""
        return bool(self.runs) and self.runs.keys() <= self.scores.keys() | self.diverged

    @property
    def score(self) -> float | None:
        """Mean validation score over the tuning seeds; None if a run diverged or has no result."""
        if self.diverged or not self.complete:
            return None
        return statistics.fmean(self.scores[seed] for seed in self.runs)

    @property
    def test(self) -> float | None:
        """Mean test score over the same seeds; None where :attr:`score` is, or if none was made."""
        if self.score is None or not self.runs.keys() <= self.tests.keys():
            return None
        return statistics.fmean(self.tests[seed] for seed in self.runs)


@dataclass(frozen=True, kw_only=True)
class Study:
    """The trials of one cell in one space.

    Attributes:
        id: Its name in the store; a larger budget of the same draw keeps it.
        problem: Problem by its base name.
        norm: Norm by name.
        norm_label: The norm as tables show it, with what the ablation changes.
        optimizer: Optimizer by name.
        protocol: Protocol by name.
        deviations: Words that changed the rules, such as ``protocol.epochs=2``.
        fixed: Words that hold for every trial, such as ``{"momentum": 0.9}``.
        space: Where the trials were drawn from.
        method: How: ``sobol``, ``grid`` or ``tpe``.
        draw_seed: What the draw depends on beside the space.
        tuning_seeds: Seeds that every trial was trained at.
        metric: What the problem is judged by; trials are compared by its validation part.
        select: Whose epoch's score counts: the ``final`` one, or the ``best`` on validation.
        trials: In the order of their numbers, from 1.
        default: The default setting at the same seeds, outside the budget.
        budget: Number of trials that was asked for last; a sequential method draws them as it goes.
        commands: What to type, but for the store: to ``tune`` once more, and to ``run`` the cell.
    """

    id: str
    problem: str
    norm: str
    norm_label: str
    optimizer: str
    protocol: str
    deviations: tuple[str, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    space: Space
    method: str
    draw_seed: int = 0
    tuning_seeds: tuple[int, ...]
    metric: Metric
    select: str = "final"
    trials: tuple[Trial, ...]
    default: Trial
    budget: int = 0
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every run of every trial and of the default setting has ended with a result."""
        return self.default.complete and all(trial.complete for trial in self.trials)

    @cached_property
    def ranked(self) -> Sequence[Trial]:
        """All trials, the best first: equal ones by number; without a score last, by number."""
        sign = -1.0 if self.metric.direction == "max" else 1.0
        return sorted(
            self.trials,
            key=lambda trial: (
                trial.score is None,
                0.0 if trial.score is None else sign * trial.score,
                trial.number,
            ),
        )

    @property
    def best(self) -> Trial | None:
        """The trial with the best score; None if none has one."""
        return self.ranked[0] if self.ranked and self.ranked[0].score is not None else None

    @property
    def hopeless(self) -> bool:
        """Whether no trial did better than the worst score, so that none is worth keeping."""
        score = self.best.score if self.best else None
        return score is not None and not self.metric.better(score, self.metric.worst)

    @property
    def diverged(self) -> int:
        """Number of trials that diverged at one tuning seed or more."""
        return sum(bool(trial.diverged) for trial in self.trials)
