"""Tuning all cells of a suite with the same budget: a study for each, and common launches.

The trials of all cells are trained in one launch, so that no slot waits for a cell to end; a method
that draws one trial after another gets a launch for each round, with a trial of every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from normbench.api import Launching, Report, check_launching, launch
from normbench.descriptions import Optimizer
from normbench.errors import UsageError, unknown_name
from normbench.overrides import read_overrides
from normbench.planning import plan_all
from normbench.plugins import Catalogue
from normbench.resolve import Request, request_label, resolve
from normbench.store import store_path
from normbench.suites.files import Trials
from normbench.tuning.conduct import Conduct, Drawn, TuningReport
from normbench.tuning.plan import Specs, Tuning
from normbench.tuning.words import NothingToSearchError

_ELSEWHERE = ("norm", "ablation")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A cell of a suite that is tuned.

    Attributes:
        request: What asks for it, first of all that do.
        conduct: Its study at work.
    """

    request: Request
    conduct: Conduct


@dataclass(frozen=True, kw_only=True)
class SuiteTuning:
    """What came of the tuning of a suite.

    Attributes:
        reports: One for each study, in the order of the suite.
        untuned: Why cells were not tuned, by cell.
        evaluation: The suite's seeds at the known settings; None if they were left out.
        trained: Runs that ended with a result during the call.
        going_on: How to go on, if the launcher was told not to wait for the runs; else empty.
    """

    reports: Sequence[TuningReport]
    untuned: dict[str, str] = field(default_factory=dict)
    evaluation: Report | None = None
    trained: int = 0
    going_on: str = ""

    @property
    def complete(self) -> bool:
        """Whether every study has a winner and every run asked for has ended with a result."""
        chosen = all(report.winner is not None for report in self.reports)
        return chosen and (self.evaluation is None or self.evaluation.complete)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as strict JSON values."""
        return {
            "trained": self.trained,
            "studies": [report.to_dict() for report in self.reports],
            "untuned": self.untuned,
            "going_on": self.going_on,
            "evaluation": self.evaluation and self.evaluation.to_dict(),
        }


class Together:
    """The studies of a suite at work.

    Args:
        requests: The suite's cells.
        trials: How each is tuned.
        catalogue: What the plugins offer.
        launching: How runs get trained.
        skip_failed: Choose among the others when trials have failed.
        command: What to type to tune the suite once more, but for the store.
        specs_of: Resolves a request and checks it; None to check all that a run needs. With one
            nothing is trained.

    Attributes:
        members: The cells that are tuned, each once, by their words.
        untuned: Why the others are not, by their words.

    Raises:
        UsageError: If a cell cannot be tuned or trained as asked; the message names it.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        trials: Trials,
        catalogue: Catalogue,
        launching: Launching,
        *,
        skip_failed: bool = False,
        command: Sequence[str] | None = None,
        specs_of: Specs | None = None,
    ) -> None:
        self._requests, self._catalogue, self._launching = requests, catalogue, launching
        self._specs_of = specs_of
        self.members: dict[str, Member] = {}
        self.untuned: dict[str, str] = {}
        self._cells: dict[str, str] = {}
        _check_search(trials.search, requests, catalogue)
        for request in requests:
            tuning = Tuning(
                request=request,
                search=_search_of(request, trials.search, catalogue),
                method=trials.method,
                trials=trials.trials,
                draw_seed=trials.draw_seed,
                tuning_seeds=trials.tuning_seeds,
                evaluate=False,
                skip_failed=skip_failed,
                command=command,
            )
            self._take(tuning)
        if specs_of is None:
            # Whatever is wrong with the suite's seeds must not show after hours of trials.
            untold = [replace(request, setting_of=None) for request in requests]
            plan_all(untold, catalogue.without_settings(), launching.data_dir)

    def _take(self, tuning: Tuning) -> None:
        request, label = tuning.request, request_label(tuning.request)
        if request.setting_of:
            self.untuned[label] = f"it takes the setting of {request.setting_of}"
            return
        try:
            conduct = Conduct(tuning, self._catalogue, self._launching, self._specs_of)
        except NothingToSearchError:
            self.untuned[label] = "the suite fixes all that would be searched"
            return
        except UsageError as error:
            raise type(error)(f"cell {label}: {error}") from None
        cell = self._cells[label] = conduct.plan.base.cell
        for other, member in self.members.items():
            if member.conduct.plan.base.cell != cell:
                continue
            if member.conduct.plan.id != conduct.plan.id:
                raise UsageError(
                    f"{other} and {label} are one cell with different words of its optimizer, and "
                    "a cell has one known setting. Take one of them out of the suite, or fix "
                    "every searched word of one."
                )
            return
        self.members[label] = Member(request=request, conduct=conduct)

    def draw(self) -> dict[str, Drawn]:
        """Return the trials of each study that can be drawn now, by cell.

        Raises:
            UsageError: If a trial cannot be trained as drawn.
        """
        return {label: member.conduct.draw() for label, member in self.members.items()}

    def enqueue(self) -> dict[str, Drawn]:
        """Record the studies and add their runs to the store; none is trained.

        Raises:
            StoreError: If the store cannot be written.
        """
        drawn = self.draw()
        for label, trials in drawn.items():
            self.members[label].conduct.enqueue(trials)
        return drawn

    def run(self, *, evaluate: bool = True) -> SuiteTuning:
        """Train all trials, choose and keep the winners, and train the suite's seeds at them."""
        check_launching(self._launching, self._catalogue)
        reports, trained, going_on = self._tuned()
        ordered = [reports[label] for label in self.members]
        found = SuiteTuning(
            reports=ordered, untuned=self.untuned, trained=trained, going_on=going_on
        )
        if not evaluate or going_on:
            return found
        evaluation = self._evaluate(reports)
        if evaluation is None:
            return found
        return replace(
            found,
            evaluation=evaluation,
            trained=trained + evaluation.trained,
            going_on=evaluation.going_on,
        )

    def _tuned(self) -> tuple[dict[str, TuningReport], int, str]:
        """Return what became of each study, how many runs that took, and how to go on."""
        reports: dict[str, TuningReport] = {}
        trained, going_on = 0, ""
        left = dict(self.members)
        while left and not going_on:
            drawn = {label: member.conduct.draw() for label, member in left.items()}
            for label, each in drawn.items():
                left[label].conduct.enqueue(each)
            runs = {spec.fingerprint: spec for each in drawn.values() for spec in each.runs}
            last = launch([*runs.values()], self._catalogue, self._launching)
            trained, going_on = trained + last.trained, last.going_on
            for label, each in drawn.items():
                conduct = left[label].conduct
                if each.complete or going_on or conduct.waits():
                    reports[label] = conduct.close(each, last)
                    del left[label]
        return reports, trained, going_on

    def _evaluate(self, reports: dict[str, TuningReport]) -> Report | None:
        """Train the suite's seeds, but for cells whose tuning found no winner."""
        lost = {self._cells[label] for label, each in reports.items() if each.winner is None}
        catalogue = self._catalogue.with_store(store_path(self._launching.store))
        kept = [
            request
            for request in self._requests
            if self._cells.get(request_label(request)) not in lost
            and self._has_setting(request, catalogue)
        ]
        if not kept:
            return None
        specs = plan_all(kept, catalogue, self._launching.data_dir)
        return launch(specs, self._catalogue, self._launching)

    def _has_setting(self, request: Request, catalogue: Catalogue) -> bool:
        """Whether *request* takes no other cell's setting, or one that is known by now."""
        try:
            resolve(request, catalogue)
        except UsageError as error:
            if not request.setting_of:
                raise
            self.untuned[request_label(request)] = f"{error} Its seeds are left out."
            return False
        return True


def _check_search(search: Sequence[str], requests: Sequence[Request], catalogue: Catalogue) -> None:
    """Refuse words of ``--search`` that no optimizer of the suite has."""
    optimizers = {request.optimizer for request in requests}
    known = {name for each in optimizers for name in _parameters(each, catalogue)}
    for text in search:
        owner, name = _owner_and_name(text)
        if owner in _ELSEWHERE:
            raise UsageError(
                f"--search {text}: the cells of a suite have the norms that it lists. Search "
                "within one of them: normbench tune PROBLEM OPTIMIZER --norm NORM --search ..."
            )
        if owner and owner not in optimizers:
            raise unknown_name("optimizer of this suite", owner, optimizers)
        if name not in (_parameters(owner, catalogue) if owner else known):
            raise unknown_name(f"parameter to search with {owner or 'this suite'}", name, known)


def _search_of(request: Request, search: Sequence[str], catalogue: Catalogue) -> tuple[str, ...]:
    """Return the words of ``--search`` that concern the optimizer of *request*.

    What the request fixes by a word is not searched; a word for one optimizer goes before one for
    all.
    """
    fixed = read_overrides(request.config, request.words).sections["optimizer"]
    has = _parameters(request.optimizer, catalogue)
    chosen: dict[str, str] = {}
    for text in sorted(search, key=lambda text: bool(_owner_and_name(text)[0])):
        owner, name = _owner_and_name(text)
        if owner in ("", request.optimizer) and name in has and name not in fixed:
            chosen[name] = f"{name}={text.partition('=')[2]}"
    return tuple(chosen.values())


def _owner_and_name(text: str) -> tuple[str, str]:
    """Return optimizer, if one is named, and parameter of a word of ``--search``."""
    owner, _, name = text.partition("=")[0].rpartition(".")
    return owner, name


def _parameters(optimizer: str, catalogue: Catalogue) -> set[str]:
    return {parameter.name for parameter in catalogue.get(Optimizer, optimizer).parameters}
