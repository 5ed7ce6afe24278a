"""The trials of a suite that is tuned first, as cells of its plan."""

from __future__ import annotations

from pathlib import Path

from normbench.api import Launching
from normbench.forecast.cells import Cell
from normbench.forecast.standing import Look, Standing
from normbench.planning import missing_data, resolve_checked
from normbench.plugins import Catalogue
from normbench.store import RunStore, store_path
from normbench.suites import Plan
from normbench.tuning.conduct import Drawn
from normbench.tuning.plan import Plan as Study
from normbench.tuning.together import Together


def trial_cells(
    plan: Plan, catalogue: Catalogue, store: RunStore | None, folder: Path | None = None
) -> list[Cell]:
    """Return the trials that tuning *plan* takes, a cell for each study; none if it is not tuned.

    Trials that depend on others' results and are not drawn yet are counted as runs that the store
    does not have.

    Args:
        plan: The suite.
        catalogue: What the plugins offer.
        store: Where the trials are looked up; None if there is none yet.
        folder: Data folder to look for data files in; None to look for none.

    Raises:
        UsageError: If the suite cannot be tuned as it says.
    """
    if plan.trials is None:
        return []
    place = store.root if store is not None else store_path(None)
    together = Together(
        plan.requests, plan.trials, catalogue, Launching(store=place), specs_of=resolve_checked
    )
    drawn = together.draw()
    look = Look(store, sum(len(each.runs) for each in drawn.values()))
    return [
        Cell(
            label=f"{label} (trials)",
            runs=_standings(together.members[label].conduct.plan, each, look),
            trials=True,
            missing_data=missing_data(each.runs[0], catalogue, folder) if folder else "",
        )
        for label, each in drawn.items()
    ]


def _standings(study: Study, drawn: Drawn, look: Look) -> tuple[Standing, ...]:
    found = [standing for spec in drawn.runs for standing in look.at(spec.row, [spec])]
    waiting = (study.budget + 1) * len(study.seeds) - sum(map(len, drawn.specs.values()))
    return (*found, *(Standing(spec=drawn.runs[0]) for _ in range(waiting)))
