"""Tuning from request to known setting: draw, train, choose, keep, evaluate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from normbench.api import Launching, Report, check_launching, launch
from normbench.errors import NormbenchError
from normbench.parameters import Value
from normbench.planning import plan
from normbench.plugins import Catalogue
from normbench.report import Row
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore, store_path
from normbench.store.plugin_files import note_plugin_files
from normbench.tuning.choice import Choice, choice_of
from normbench.tuning.commands import cell_words, trial_words
from normbench.tuning.edges import Edge
from normbench.tuning.known import Kept, keep_setting
from normbench.tuning.plan import Specs, Tuning, plan_study, trial_specs
from normbench.tuning.record import conclude, read_study, read_trials, write_drawn
from normbench.tuning.study import DEFAULT_NUMBER, Study, Trial


@dataclass(frozen=True, kw_only=True, repr=False)
class TuningReport:
    """What a call of :func:`normbench.tune` leaves behind.

    Attributes:
        study: The trials and their scores.
        store: The run store.
        choice: What the study chose, and what became of it.
        kept: What happened to the known setting of the cell; None without a winner.
        evaluation: The evaluation seeds at the winner; None if they were left out.
        trained: Runs that ended with a result during the call.
        messages: Why runs of trials failed, in a sentence each.
        outcomes: In which states the runs of trials are.
        going_on: How to go on, if the launcher was told not to wait for the runs; else empty.
    """

    study: Study
    store: Path
    choice: Choice
    kept: Kept | None = None
    evaluation: Report | None = None
    trained: int = 0
    messages: Sequence[str] = ()
    outcomes: Collection[RunState] = ()
    going_on: str = ""

    @property
    def winner(self) -> Trial | None:
        """The best trial; None while trials have no result, or if none is worth keeping."""
        return self.choice.winner

    @property
    def edges(self) -> Sequence[Edge]:
        """Where the winner lies at an edge of the space."""
        return self.choice.edges

    @property
    def behind(self) -> str:
        """That the default setting did better than the winner, in a sentence; else empty."""
        return self.choice.behind

    @property
    def problem(self) -> str:
        """Why there is no winner, in a sentence; else empty."""
        return self.choice.problem

    @property
    def waits(self) -> bool:
        """Whether trials have no result because nobody waited for them."""
        return bool(self.going_on) and not self.study.complete

    @property
    def complete(self) -> bool:
        """Whether there is a winner and every run that was asked for has ended with a result."""
        return self.winner is not None and (self.evaluation is None or self.evaluation.complete)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        from normbench.tuning.tables import study_as_dict

        return {
            "store": str(self.store),
            "trained": self.trained,
            **study_as_dict(self.study),
            **self.choice.to_dict(),
            "messages": list(self.messages),
            "going_on": self.going_on,
            "evaluation": self.evaluation and self.evaluation.to_dict(),
        }

    def __repr__(self) -> str:
        """Return the report as text, which is what a prompt should show."""
        return str(self)

    def __str__(self) -> str:
        """Return the best trials, the default setting and the evaluation as aligned text."""
        from normbench.tuning.tables import report_as_text

        return report_as_text(self)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Trials by number, 0 being the default setting.

    Attributes:
        values: Value by word.
        specs: A spec for each tuning seed.
        complete: Whether the budget is used up.
    """

    values: Mapping[int, Mapping[str, Value]]
    specs: Mapping[int, Sequence[RunSpec]]
    complete: bool

    @property
    def runs(self) -> list[RunSpec]:
        """All specs; the default setting comes once where it was drawn as well."""
        members = (spec for specs in self.specs.values() for spec in specs)
        return list({spec.fingerprint: spec for spec in members}.values())

    @property
    def trials(self) -> list[Trial]:
        """All trials with their runs, without results."""
        return [
            Trial(
                number=number,
                values=self.values[number],
                runs={spec.seed: spec.fingerprint for spec in specs},
            )
            for number, specs in self.specs.items()
        ]


class Conduct:
    """One study at work.

    Args:
        tuning: What the user asked for.
        catalogue: What the plugins offer.
        launching: How runs get trained.
        specs_of: Resolves a request and checks it; None to check all that a run needs.

    Raises:
        UsageError: If the request cannot be carried out as given.
    """

    def __init__(
        self,
        tuning: Tuning,
        catalogue: Catalogue,
        launching: Launching,
        specs_of: Specs | None = None,
    ) -> None:
        self._tuning, self._catalogue, self._launching = tuning, catalogue, launching
        self._specs_of = specs_of or partial(plan, folder=launching.data_dir)
        self.plan = plan_study(tuning, catalogue, self._specs_of)
        if tuning.evaluate:
            # Whatever is wrong with the evaluation seeds must not show after hours of trials.
            self._evaluation_specs(catalogue.without_settings(), ())

    def draw(self) -> Drawn:
        """Return all trials that can be drawn now, checked; those on record are not drawn again.

        Raises:
            UsageError: If a trial cannot be trained as drawn.
        """
        study = self.plan
        before = self._recorded()
        drawn = [dict(trial.values) for trial in before]
        waits = study.method.sequential and not all(trial.complete for trial in before)
        if len(drawn) < study.budget and not waits:
            drawn += study.method.load()(
                study.space,
                metric=study.base.problem.metric,
                trials=before,
                budget=study.budget,
                draw_seed=study.draw_seed,
            )
        values = dict(enumerate(drawn, 1))
        numbered = {DEFAULT_NUMBER: {}, **values}
        return Drawn(
            values={DEFAULT_NUMBER: study.default, **values},
            specs=trial_specs(study, numbered, self._catalogue, self._specs_of),
            complete=len(drawn) >= study.budget,
        )

    def waits(self) -> bool:
        """Whether a trial on record has no result, so that a later one cannot be drawn."""
        return not all(trial.complete for trial in self._recorded())

    def _recorded(self) -> Sequence[Trial]:
        """Return the trials that the store has on record for this study, at most the budget."""
        store, study = RunStore.open_if_there(store_path(self._launching.store)), self.plan
        if store is None:
            return ()
        return read_trials(store, study.id, trials=study.budget, seeds=study.seeds)

    def enqueue(self, drawn: Drawn) -> RunStore:
        """Record the study and add its runs to the store; none is trained.

        Cancelled runs are readmitted.

        Raises:
            StoreError: If the store cannot be written.
        """
        store = RunStore.open(store_path(self._launching.store), create=True)
        note_plugin_files(store.root, self._catalogue.offered_by_files())
        default, *trials = drawn.trials
        write_drawn(store, self.plan, trials, default)
        for spec in drawn.runs:
            store.add(spec).readmit()
        return store

    def run(self) -> TuningReport:
        """Train the trials, choose, keep the winner as a known setting, and evaluate it."""
        check_launching(self._launching, self._catalogue)
        trained = 0
        while True:
            drawn = self.draw()
            store = self.enqueue(drawn)
            last = launch(drawn.runs, self._catalogue, self._launching)
            trained += last.trained
            if drawn.complete or last.going_on:
                return self._closed(store, drawn, last, trained)
            _refuse_unfinished(self._recorded(), last.rows, drawn)

    def _closed(self, store: RunStore, drawn: Drawn, last: Report, trained: int) -> TuningReport:
        """Choose the winner of the trained trials and carry on with it."""
        report = replace(self.close(drawn, last), trained=trained)
        if report.winner is None or not self._tuning.evaluate:
            return report
        evaluation = self._evaluate(store, report.winner, drawn.specs[report.winner.number][0])
        return replace(
            report,
            evaluation=evaluation,
            trained=trained + evaluation.trained,
            going_on=report.going_on or evaluation.going_on,
        )

    def close(self, drawn: Drawn, last: Report) -> TuningReport:
        """Choose the winner of the trained trials and keep it as the known setting.

        Args:
            drawn: All trials.
            last: Of the launch that trained them.

        Raises:
            StoreError: If the setting cannot be kept.
        """
        store = RunStore.open(store_path(self._launching.store))
        study = read_study(store, self.plan.id, trials=self.plan.budget, seeds=self.plan.seeds)
        choice = self._choice(store, study)
        kept = None
        if choice.winner is not None:
            spec = drawn.specs[choice.winner.number][0]
            kept = keep_setting(store, study, choice.winner, spec, self._catalogue)
            choice = self._choice(store, study)
        if study.complete:
            conclude(store, study)
        return TuningReport(
            study=study,
            store=store.root,
            messages=_messages(last.rows, drawn),
            outcomes=_outcomes(last.rows, drawn),
            going_on=last.going_on,
            choice=choice,
            kept=kept,
        )

    def _choice(self, store: RunStore, study: Study) -> Choice:
        return choice_of(store, study, skip_failed=self._tuning.skip_failed)

    def _evaluate(self, store: RunStore, winner: Trial, spec: RunSpec) -> Report:
        """Train the evaluation seeds at the winner, as the known setting where it is that."""
        words = trial_words(winner.values)
        cell = cell_words(winner.values)
        specs = self._evaluation_specs(self._catalogue.with_store(store.root), cell)
        if specs[0].identity != spec.identity:
            # The store keeps another setting, such as that of a larger budget.
            specs = self._evaluation_specs(self._catalogue.without_settings(), words)
        return launch(specs, self._catalogue, self._launching)

    def _evaluation_specs(self, catalogue: Catalogue, words: Sequence[str]) -> list[RunSpec]:
        request = self._tuning.request
        request = replace(request, words=(*request.words, *words))
        return self._specs_of(request, catalogue)


class UnfinishedTrialError(NormbenchError):
    """A trial has no result, and the next one cannot be drawn without.

    Attributes:
        outcomes: In which states the runs of trials are.
    """

    def __init__(self, message: str, outcomes: Collection[RunState]) -> None:
        super().__init__(message)
        self.outcomes = outcomes


def _refuse_unfinished(trials: Sequence[Trial], rows: Sequence[Row], drawn: Drawn) -> None:
    missing = [str(trial.number) for trial in trials if not trial.complete]
    if missing:
        why = "".join(f"\n{message}" for message in _messages(rows, drawn))
        raise UnfinishedTrialError(
            f"trial {', '.join(missing)} has no result, and the next one depends on it. Tune again "
            f"to train it once more.{why}",
            _outcomes(rows, drawn),
        )


def _outcomes(rows: Sequence[Row], drawn: Drawn) -> set[RunState]:
    """Return in which states the runs of trials are; other studies may be among the *rows*."""
    own = {specs[0].row for specs in drawn.specs.values()}
    return {state for row in rows if row.spec.row in own for state in row.outcomes}


def _messages(rows: Sequence[Row], drawn: Drawn) -> list[str]:
    """Return why runs failed, each with its trial; other studies may be among the *rows*."""
    numbers = {specs[0].row: number for number, specs in reversed([*drawn.specs.items()])}
    return [
        f"trial {numbers[row.spec.row]}, seed {seed}: {text}"
        for row in rows
        if row.spec.row in numbers
        for seed, text in sorted(row.messages.items())
    ]
