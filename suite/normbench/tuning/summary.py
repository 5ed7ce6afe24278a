"""What one study says of tuning: budget curve, divergence, and what each hyper-parameter does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normbench.errors import UsageError
from normbench.tuning.budget import Budget, budget_curve, realised_curve
from normbench.tuning.divergence import Share
from normbench.tuning.methods import find_method
from normbench.tuning.scores import test_scores, validation_score
from normbench.tuning.sensitivity import Sensitivity, sensitivities
from normbench.tuning.study import Study, Trial
from normbench.tuning.tables import study_as_dict

BUDGETS = (5, 10, 20)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a study says of tuning; rests on the trials that have ended, and says how many.

    Attributes:
        study: The study.
        trials: Its trials that have ended with results, in the order they were drawn in.
    """

    study: Study
    trials: tuple[Trial, ...]

    @property
    def missing(self) -> int:
        """Number of trials without results."""
        return len(self.study.trials) - len(self.trials)

    @property
    def sequential(self) -> bool:
        """Whether each trial depends on those before it, so that their order means something."""
        return find_method(self.study.method).sequential

    @cached_property
    def curve(self) -> tuple[Budget, ...]:
        """What 1, 2, ... trials find: expected, or as it went where trials depend on each other."""
        if self.sequential:
            return self.realised
        return budget_curve(*self._scores, self.study.metric.direction)

    @cached_property
    def realised(self) -> tuple[Budget, ...]:
        """What the first 1, 2, ... trials did find."""
        return realised_curve(*self._scores, self.study.metric.direction)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The curve at 5, 10 and 20 trials as far as there are so many, and at all."""
        count = len(self.trials)
        wanted = [*(budget for budget in BUDGETS if budget < count), count]
        return tuple(self.curve[budget - 1] for budget in wanted)

    @property
    def default(self) -> Budget | None:
        """The default setting's scores, as a budget of 0 trials; None before it has any."""
        trial = self.study.default
        if not trial.complete:
            return None
        return Budget(
            trials=0,
            validation=validation_score(trial, self.study.metric),
            test=None if self._tests is None else self._tests[-1],
        )

    @property
    def diverged(self) -> Share:
        """The trials that diverged at one tuning seed or more."""
        return Share(count=sum(bool(t.diverged) for t in self.trials), total=len(self.trials))

    @cached_property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """How much each hyper-parameter matters."""
        return sensitivities(self.study.space, self.trials, self.study.metric)

    @property
    def _scores(self) -> tuple[list[float], list[float] | None]:
        validation = [validation_score(trial, self.study.metric) for trial in self.trials]
        return validation, None if self._tests is None else self._tests[: len(self.trials)]

    @cached_property
    def _tests(self) -> list[float] | None:
        """The test scores of the trials, and of the default setting if it has ended."""
        default = (self.study.default,) if self.study.default.complete else ()
        return test_scores((*self.trials, *default), self.study.metric)

    @property
    def trials_to_default(self) -> int | None:
        """The smallest number of trials expected to do as well as the default setting.

        None if no number of these trials does, or the default setting has no score.
        """
        default, better = self.default, self.study.metric.better
        if default is None:
            return None
        reached = (
            budget.trials
            for budget in self.curve
            if not better(default.validation, budget.validation)
        )
        return next(reached, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary, with the study, as strict JSON values."""
        study, default = self.study, self.default
        return {
            **study_as_dict(study),
            "smallest_difference": study.metric.smallest_difference,
            "worst": study.metric.worst,
            "ended": len(self.trials),
            "best": None if study.best is None else study.best.number,
            "curve": [budget.to_dict() for budget in self.curve],
            "realised": [budget.to_dict() for budget in self.realised],
            "budgets": [budget.trials for budget in self.budgets],
            "default_budget": None if default is None else default.to_dict(),
            "trials_to_default": self.trials_to_default,
            "diverged_share": self.diverged.to_dict(),
            "sensitivities": [sensitivity.to_dict() for sensitivity in self.sensitivities],
        }


def summarize(study: Study) -> Summary:
    """Return what *study* says of tuning.

    Raises:
        UsageError: If no trial has ended with results.
    """
    ended = tuple(trial for trial in study.trials if trial.complete)
    if not ended:
        raise UsageError(
            f"none of the {len(study.trials)} trials of study {study.id} has ended with a result, "
            "so there is nothing to report. Train them with: normbench resume"
        )
    return Summary(study=study, trials=ended)
