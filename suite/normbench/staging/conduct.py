"""Training stage after stage, with a look at the table in between."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.notes import seed_list
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.reference_notes import day_of
from normbench.leaderboard.verdicts import Verdict
from normbench.origins import UNTUNED
from normbench.plugins import Catalogue
from normbench.quantities import counted
from normbench.staging.decision import Decision, Look
from normbench.staging.plan import StagePlan, Staging, plan_stages, write_declarations
from normbench.store import RecordedDecision, RunStore, record_decision, store_path

if TYPE_CHECKING:
    from normbench.api import Launching, Report
    from normbench.leaderboard.board import Board, Entry


def run_staged(
    asked: Staging,
    catalogue: Catalogue,
    launching: Launching,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Add seeds to a row and its reference until the row's verdict says something.

    The stages are declared in the store before anything is trained. What is done already is kept,
    so that the same call goes on where another one was interrupted.

    Args:
        asked: The row and its stages.
        catalogue: What the plugins offer.
        launching: How to train.
        say: Is told what each stage begins with and comes to.

    Returns:
        The runs of the row and of its reference, with the decision.

    Raises:
        UsageError: If the request cannot be carried out as given.
    """
    from normbench.api import check_launching

    root = store_path(launching.store)
    check_launching(launching, catalogue)
    planned = plan_stages(asked, RunStore.open_if_there(root), catalogue, launching.data_dir)
    store = RunStore.open(root, create=True)
    planned = write_declarations(store, planned)
    return _Conduct(asked, planned, store, catalogue, launching, say).run()


class _Conduct:
    """One call of :func:`run_staged`."""

    def __init__(
        self,
        asked: Staging,
        planned: StagePlan,
        store: RunStore,
        catalogue: Catalogue,
        launching: Launching,
        say: Callable[[str], None],
    ) -> None:
        self.problem, self.planned, self.store = asked.request.problem, planned, store
        self.catalogue, self.launching, self.say = catalogue, launching, say
        self.looks: list[Look] = []
        self.trained = self.observed = 0
        self.behind = ""

    def run(self) -> Report:
        """Train and look until decided, out of seeds, or out of results."""
        for sentence in introduction(self.planned):
            self.say(sentence)
        stages = self.planned.declaration.stages
        if self.planned.declaration.decision is not None:
            return self._again(self.planned.declaration.decision)
        for stage in stages[self._first_place() :]:
            report = self._train(stage)
            why = self._incomplete(report, stage) or self._look(stage)
            if why or stage == stages[-1]:
                return self._result(report, why or self._undecided())
            self.say(f"Stage {stage} of {_listed(stages)}: {self._words()}; going on.")
        raise AssertionError("there is always a stage")

    def _again(self, then: RecordedDecision) -> Report:
        """Return what was decided in an earlier call, and what the table of today says."""
        report = self._train(then.stage)
        look = Look.recorded(then)
        self.looks.append(look)
        why = self._decided(look) if look.decided else self._undecided()
        board, entry = self._table()
        own = board.reference_of(entry.row)
        if own is None or own.row != then.reference or entry.comparison is None:
            return self._result(report, why)
        today = Look.at(board, entry, then.stage)
        names = self.planned.label, self.planned.opponent.label
        if look.between(*names) == today.between(*names):
            return self._result(report, why)
        why += (
            f" That was on {day_of(then.decided_at)} and stays. The table of today, corrected over "
            f"all of its rows, says: {today.between(*names)}."
        )
        return self._result(report, why, today)

    def _first_place(self) -> int:
        """Return the last stage that is trained already, else the first one, by its place."""
        stages = self.planned.declaration.stages
        names = {stage: [s.fingerprint for s in self.planned.specs(stage)] for stage in stages}
        known = self.store.index().runs
        trained = [
            place
            for place, stage in enumerate(stages)
            if all(name in known and known[name].done for name in names[stage])
        ]
        return max(trained, default=0)

    def _train(self, stage: int) -> Report:
        from normbench.api import launch

        report = launch(self.planned.specs(stage), self.catalogue, self.launching)
        self.trained += report.trained
        self.observed += report.observed
        return report

    def _incomplete(self, report: Report, stage: int) -> str:
        """Return why there can be no look after a launch, if so."""
        if report.going_on:
            return (
                f"Stage {stage} is being trained. Give the same command again once its runs have "
                "ended: it looks at them and goes on."
            )
        lacking = sum(sum(row.outcomes.values()) - row.n for row in report.rows)
        if lacking:
            return (
                f"Stopped at stage {stage}: {counted(lacking, 'run')} of it without a result, so "
                "there is nothing to look at. Give the same command again to try once more."
            )
        return ""

    def _look(self, stage: int) -> str:
        """Look at the row in its table; return why to stop, if so."""
        opponent, (board, entry) = self.planned.opponent.spec.row, self._table()
        own = board.reference_of(entry.row)
        if own is None or own.row != opponent:
            return (
                f"The reference of the table has changed meanwhile ({board.reference.why}). Give "
                "the same command again: it trains what the new one lacks."
            )
        look = Look.at(board, entry, stage)
        self.looks.append(look)
        last = stage == self.planned.declaration.stages[-1]
        if look.decided or (last and look.verdict is not Verdict.EXPLORATORY):
            record_decision(self.store.root, entry.row.row, look.record(board, opponent))
            self._send()
        if look.decided:
            return self._decided(look)
        if look.verdict is Verdict.EXPLORATORY:
            return f"Stopped at stage {stage}: the row stays exploratory. {' '.join(board.notes)}"
        return ""

    def _send(self) -> None:
        """Copy to MLflow what was decided: the launch before the look has copied all else."""
        if self.launching.track:
            from normbench.tracking import Collector

            self.behind = Collector(self.store).start().stop().behind

    def _table(self) -> tuple[Board, Entry]:
        """Return the row and its table as they are now."""
        spec = self.planned.spec
        wanted = Wanted(problems=(self.problem,), protocols=(spec.protocol.name,))
        boards = make_boards(StoreReader(self.store), self.catalogue, wanted)
        entries = ((board, entry) for board in boards for entry in board.entries)
        return next(found for found in entries if found[1].row.row == spec.row)

    def _decided(self, look: Look) -> str:
        stages = self.planned.declaration.stages
        return f"Decided at stage {look.stage} of {_listed(stages)}: {self._words()}."

    def _undecided(self) -> str:
        stages = self.planned.declaration.stages
        return (
            f"Undecided after all stages, {_listed(stages)}: {self._words()}. More seeds than "
            "declared would be another look, so the verdict stays."
        )

    def _words(self) -> str:
        return self.looks[-1].between(self.planned.label, self.planned.opponent.label)

    def _result(self, report: Report, why: str, today: Look | None = None) -> Report:
        planned = self.planned
        decision = Decision(
            row=planned.spec.row,
            label=planned.label,
            reference=planned.opponent.spec.row,
            against=planned.opponent.label,
            stages=planned.declaration.stages,
            before=planned.declaration.before,
            looks=tuple(self.looks),
            why=why,
            today=today,
            decided=bool(self.looks) and self.looks[-1].decided,
        )
        return replace(
            report,
            decision=decision,
            trained=self.trained,
            observed=self.observed,
            behind=report.behind or self.behind,
        )


def introduction(planned: StagePlan) -> list[str]:
    """Return what is going to be trained and compared, in sentences."""
    opponent, declaration = planned.opponent, planned.declaration
    origin = opponent.spec.setting_origin
    setting = UNTUNED if origin == "default" else f"setting {origin}"
    there = f"{opponent.why}; {setting}"
    if not opponent.stored:
        there += "; without results here, so it is trained too"
    sentences = [
        f"{planned.label} is looked at after {_listed(declaration.stages)} seeds, against "
        f"{opponent.label} ({there})."
    ]
    declared_at = declaration.declared_at or math.inf
    others = [(at, words) for at, words in opponent.others if at < declared_at]
    if others:
        at, words = others[0]
        sentences.append(
            f"A table was shown on {day_of(at)} against {words}; these stages are declared against "
            f"{opponent.label} (row {opponent.spec.row[:8]})."
        )
    if declaration.before:
        sentences.append(
            f"{counted(len(declaration.before), 'seed')} had results before these stages were "
            "declared. They may have been looked at, so they do not count, and others are trained."
        )
    if opponent.counting is not None:
        sentences.append(
            f"{opponent.label} has declared stages of its own, in which its seeds "
            f"{seed_list(opponent.counting)} count: only these are compared."
        )
    return sentences


def _listed(stages: tuple[int, ...]) -> str:
    return ", ".join(map(str, stages))
