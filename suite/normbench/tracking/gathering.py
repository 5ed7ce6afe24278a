"""The rows of a run store, each with what its runs have to say to MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from normbench.live import MOVING
from normbench.specs import RunSpec
from normbench.store import Declaration, Index, IndexedRun, RunState, Shown, StoredRun
from normbench.tracking import names
from normbench.tracking.entries import Known, declaration_tags, entry_tags
from normbench.tracking.shown_tables import shown_tags


class Place(NamedTuple):
    """Where a row belongs: its experiment by name, and the row by fingerprint."""

    experiment: str
    row: str


@dataclass
class Row:
    """One row of the store.

    Attributes:
        index: The index that knows the runs.
        runs: All of its runs; those that cannot be read are told of without results.
        declared: The stages that its seeds are added in, where they were declared.
        shown: The tables that first gave it verdicts.
        begun: Those to be copied that have begun, with their states.
        waiting: Number of those to be copied that have not, by state.
        trained: Share of their epochs that those which train or wait have behind them, summed.
    """

    index: Index
    runs: list[IndexedRun]
    declared: Declaration | None = None
    shown: tuple[Shown, ...] = ()
    begun: list[tuple[StoredRun, RunState]] = field(default_factory=list)
    waiting: Counter[RunState] = field(default_factory=Counter)
    trained: float = 0.0

    @property
    def spec(self) -> RunSpec:
        """Spec of one of the runs."""
        return self.index.spec(self.runs[0])

    @property
    def now(self) -> float:
        """Unix seconds by the clock of the store's file system."""
        return self.index.clock.now()

    @property
    def standing(self) -> frozenset[object]:
        """What the row tells of its runs, to be compared with what it told before."""
        runs = (
            (run.fingerprint, run.description, run.state, run.attempts, run.score)
            for run in self.runs
        )
        return frozenset((self.declared, self.shown, *runs))

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of the runs that are to be copied and have begun."""
        return [run.fingerprint for run, _ in self.begun]

    def told(self, held: Mapping[str, str], ours: Collection[str] = ()) -> dict[str, str]:
        """Return the tags by which a row that carries the tags *held* tells of this one, too.

        Args:
            held: Tags.
            ours: Fingerprints of the runs that MLflow holds as the store does.

        Raises:
            StoreError: If a run cannot be read, or a newer normbench wrote what is held.
        """
        runs = map(self._known, sorted(self.runs, key=lambda run: run.seed))
        return {
            **declaration_tags(self.declared, held),
            **shown_tags(self.shown, held),
            **entry_tags(runs, held, ours),
        }

    def _known(self, run: IndexedRun) -> Known:
        outcome = self.index.outcome(run.fingerprint)
        return Known(
            run=run,
            spec=self.index.describe(run).text.decode(),
            stored=self.index.stored(run),
            environment=outcome.environment if outcome else "",
            declared=self.declared is not None,
            damaged=run.fingerprint in self.index.damaged,
        )


def gather(
    index: Index,
    chosen: Collection[str],
    stored: Mapping[str, StoredRun],
    declared: Mapping[str, Declaration],
    shown: Mapping[str, tuple[Shown, ...]],
) -> dict[Place, Row]:
    """Return the rows of the runs that are *chosen* by fingerprint.

    Args:
        index: What is known of all runs.
        chosen: The runs that are to be copied.
        stored: Runs that were opened before.
        declared: Declared stages by row.
        shown: By row, the tables that first gave it verdicts.
    """
    members: dict[Place, list[IndexedRun]] = {}
    for run in index.runs.values():
        members.setdefault(_place(index, run), []).append(run)
    for run in index.lost.values():
        if (place := _place(index, run)) in members:
            members[place].append(run)
    rows: dict[Place, Row] = {}
    for place, runs in members.items():
        wanted = [run for run in runs if run.fingerprint in chosen]
        if wanted:
            made = Row(index, runs, declared.get(place.row), shown.get(place.row, ()))
            rows[place] = _row(made, wanted, stored)
    return rows


def _place(index: Index, run: IndexedRun) -> Place:
    described = index.describe(run)
    return Place(names.experiment_of(described.problem, described.protocol), run.row)


def _row(row: Row, wanted: list[IndexedRun], stored: Mapping[str, StoredRun]) -> Row:
    for run in wanted:
        if run.state in MOVING:
            row.trained += min(1.0, run.epoch / row.index.describe(run).epochs)
        if run.done or run.attempts:
            opened = stored.get(run.fingerprint) or row.index.stored(run)
            row.begun.append((opened, run.state))
        else:
            row.waiting[run.state] += 1
    return row
