"""What a study chose, and what became of it: winner, edges, known setting, and how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normbench.settings_now import SUPERSEDED
from normbench.store import RunStore
from normbench.tables import score
from normbench.tuning.commands import cell_words, trial_words
from normbench.tuning.edges import Edge, edges
from normbench.tuning.known import Held, held_setting
from normbench.tuning.study import Study, Trial


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a study chose.

    Attributes:
        winner: The trial with the best score; None if there is none worth keeping.
        problem: Why there is no winner, in a sentence; else empty.
        edges: Where the winner lies at an edge of the space.
        behind: That the default setting did better than the winner, in a sentence; else empty.
        held: What the store holds as the known setting of the cell; None if it holds none.
        command: What trains the cell at the winner; empty if the record does not say.
        tune: What takes the winner, or draws what is left to draw; empty if there is nothing to do.
    """

    winner: Trial | None = None
    problem: str = ""
    edges: Sequence[Edge] = ()
    behind: str = ""
    held: Held | None = None
    command: str = ""
    tune: str = ""

    @property
    def known(self) -> str:
        """How the winner stands to the known setting, in a word or two; empty without one."""
        if self.winner is None:
            return ""
        if self.held is None:
            return "not kept"
        return "known" if self.held.current else SUPERSEDED

    @property
    def lines(self) -> list[str]:
        """What there is to say, in lines; commands are lines of their own."""
        if self.winner is None:
            found = [f"No winner: {self.problem}"] if self.problem else []
            return found + ([f"Go on with: {self.tune}"] if self.tune else [])
        values = " ".join(trial_words(self.winner.values))
        found = [f"Winner: trial {self.winner.number}, {values}"]
        found += [f"Edge: {edge}" for edge in self.edges]
        found += [self.behind] if self.behind else []
        if self.held is None:
            found.append("It is not kept as the known setting yet.")
        elif self.held.current:
            found.append(f"Known setting: {self.held.path}")
        else:
            found.append(
                f"It is not the known setting: {self.held.path} holds {self.held.words}, chosen "
                f"from {self.held.budget}."
            )
        found += [f"Take it with: {self.tune}"] if self.tune else []
        return found + ([f"Train it with: {self.command}"] if self.command else [])

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as strict JSON values."""
        return {
            "winner": self.winner and self.winner.number,
            "why_no_winner": self.problem,
            "edges": [str(edge) for edge in self.edges],
            "behind_default": self.behind,
            "setting": self.held and str(self.held.path),
            "setting_current": self.held and self.held.current,
            "run": self.command,
        }


def choice_of(store: RunStore, study: Study, *, skip_failed: bool = False) -> Choice:
    """Return what *study* chose and how the store's known setting stands to it.

    Raises:
        StoreError: If the setting's file cannot be read.
    """
    tune = _command(store, study.commands.get("tune", ()))
    problem = why_no_winner(study, skip_failed=skip_failed)
    winner = study.best
    if problem or winner is None:
        over = study.complete and len(study.trials) >= study.budget
        return Choice(problem=problem, tune="" if over else tune)
    run = store.get(next(iter(winner.runs.values())))
    held = None if run is None else held_setting(store, study, winner, run.spec)
    current = held is not None and held.current
    words = cell_words(winner.values) if current else trial_words(winner.values)
    run_words = study.commands.get("run", ())
    return Choice(
        winner=winner,
        edges=edges(study.space, winner.values),
        behind=_behind(study, winner),
        held=held,
        command=_command(store, [*run_words[:4], *words, *run_words[4:]] if run_words else ()),
        tune=tune if held is None else "",
    )


def _behind(study: Study, winner: Trial) -> str:
    """Return that the default setting did better than *winner* on validation; empty if not."""
    metric, default = study.metric, study.default.score
    if winner.score is None or default is None or not metric.better(default, winner.score):
        return ""
    numbers = f"{score(default, metric.name)} against {score(winner.score, metric.name)}"
    return (
        f"The default setting did better on validation than the winner: {numbers}. It is outside "
        "the budget, so it is not chosen; more trials, or a search around it, may pass it."
    )


def why_no_winner(study: Study, *, skip_failed: bool = False) -> str:
    """Return why no winner can be chosen from *study* and what to do, or ''."""
    missing = [trial for trial in study.trials if not trial.complete]
    if missing and not (skip_failed and study.best):
        numbers = ", ".join(str(trial.number) for trial in missing[:10])
        more = ", ..." if len(missing) > 10 else ""
        return (
            f"{len(missing)} of {len(study.trials)} trials have no result yet ({numbers}{more}). "
            "Tune again to train them; if some fail each time, --skip-failed chooses among the "
            "others."
        )
    if len(study.trials) < study.budget:
        return f"{len(study.trials)} of {study.budget} trials are drawn. Tune again to go on."
    lower = " --search lr=log:LOW:HIGH" if "lr" in {axis.word for axis in study.space} else ""
    elsewhere = f"{lower or ' --search NAME=FORM'} (now {study.space})"
    if study.best is None:
        return (
            f"all {len(study.trials)} trials diverged, so there is nothing to choose and no known "
            f"setting is kept. Search smaller values:{elsewhere}."
        )
    if study.hopeless:
        return (
            f"none of {len(study.trials)} trials did better than the worst score, "
            f"{study.metric.worst:g}, so there is nothing to choose and no known setting is kept. "
            f"Search elsewhere:{elsewhere}, or train longer."
        )
    return ""


def _command(store: RunStore, words: Sequence[str]) -> str:
    return shlex.join([*words, "--store", str(store.root)]) if words else ""
