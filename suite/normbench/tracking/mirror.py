"""The copy of a run store in MLflow, and how it is brought up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from normbench.errors import StoreError
from normbench.live import MOVING
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore, StoredRun
from normbench.tracking import faults, names, writer
from normbench.tracking.backend import Backend, open_backend
from normbench.tracking.experiments import Experiment, MlflowRun, open_experiment
from normbench.tracking.progress import Progress
from normbench.tracking.report import Done, Tally
from normbench.tracking.rows import row_content
from normbench.tracking.seeds import RESULTS, SeedContent, digest_of, seed_content
from normbench.tracking.standing import judge

# Experiment by name, row by fingerprint.
_Place = tuple[str, str]
_LOST = "MLflow at {uri} does not show a run that it has just made; `normbench sync` tries again."


@dataclass
class _Row:
    """The runs of one row that have begun, and the number of those that have not, by state.

    Attributes:
        any: One of all of them.
        trained: Share of their epochs that those which train or wait have behind them, summed.
    """

    any: StoredRun
    begun: list[tuple[StoredRun, RunState]] = field(default_factory=list)
    waiting: Counter[RunState] = field(default_factory=Counter)
    trained: float = 0.0

    @property
    def spec(self) -> RunSpec:
        """Spec of one of the runs."""
        return self.any.spec

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of the runs that have begun."""
        return [run.fingerprint for run, _ in self.begun]


class Mirror:
    """The copy of a store in MLflow. Whoever updates it holds the store's collector lock.

    It remembers what MLflow holds, so that updating again costs requests only where something is
    new.
    """

    def __init__(self, store: RunStore, uri: str | None = None) -> None:
        self._store, self._uri = store, uri
        self._backend: Backend | None = None
        self._experiments: dict[str, Experiment] = {}
        self._runs: dict[str, StoredRun] = {}
        self._complete: set[str] = set()
        self._progress: dict[str, dict[str, Progress]] = {}
        self._waiting: dict[_Place, Counter[RunState]] = {}

    def update(self, runs: Iterable[StoredRun] | None = None) -> Tally:
        """Copy what is new of *runs*, by default of all.

        A run that fails is counted and passed over; when MLflow is away, all that are left fail.

        Raises:
            StoreError: If MLflow's database cannot be used as it is.
        """
        backend = self._backend = self._backend or open_backend(self._store, self._uri)
        tally = Tally()
        away = ""
        for place, row in self._rows(runs, tally).items():
            if away:
                tally.fail(row.fingerprints(), away)
            elif row.begun or self._has_changed(place, row):
                away = self._update_row(backend, place, row, tally)
            self._waiting[place] = row.waiting
        if not away:
            self._say_progress(backend, tally)
        return tally

    def _has_changed(self, place: _Place, row: _Row) -> bool:
        """Whether a row none of whose seeds trains has others waiting than when last looked at."""
        name, fingerprint = place
        self._progress.setdefault(name, {}).setdefault(fingerprint, Progress())
        if row.waiting == self._waiting.get(place):
            return False
        experiment = self._experiments.get(name)
        if experiment is None or fingerprint not in experiment.rows:
            self._progress[name][fingerprint] = Progress.of_row(row.waiting, None)
            return False
        return True

    def _say_progress(self, backend: Backend, tally: Tally) -> None:
        """Tag each experiment with how far its rows are together."""
        for name, rows in self._progress.items():
            if experiment := self._experiments.get(name):
                try:
                    writer.tag_experiment(experiment, Progress.of_all(rows.values()).tags())
                except backend.faults as error:
                    tally.fail([], faults.explain(error, backend.uri))

    def _rows(self, runs: Iterable[StoredRun] | None, tally: Tally) -> dict[_Place, _Row]:
        """Return rows by experiment and fingerprint, without the runs that are known complete."""
        index = self._store.index()
        wanted = None if runs is None else {run.fingerprint for run in runs}
        for fingerprint, problem in index.damaged.items():
            if wanted is None or fingerprint in wanted:
                tally.fail([fingerprint], problem)
        rows: dict[_Place, _Row] = {}
        for run in index.runs.values():
            if wanted is not None and run.fingerprint not in wanted:
                continue
            if run.fingerprint in self._complete:
                tally.count(run.fingerprint, "unchanged")
                continue
            described = index.describe(run)
            place = (names.experiment_of(described.problem, described.protocol), run.row)
            if place not in rows:
                rows[place] = _Row(index.stored(run))
            if run.state in MOVING:
                rows[place].trained += min(1.0, run.epoch / described.epochs)
            if run.done or run.attempts:
                stored = self._runs.get(run.fingerprint) or index.stored(run)
                rows[place].begun.append((stored, run.state))
                self._runs[run.fingerprint] = stored
            else:
                rows[place].waiting[run.state] += 1
        return rows

    def _update_row(self, backend: Backend, place: _Place, row: _Row, tally: Tally) -> str:
        """Update one row; return why MLflow is away, or nothing."""
        name, fingerprint = place
        update = _RowUpdate(backend, row, tally)
        away = ""
        try:
            if name not in self._experiments:
                self._experiments[name] = open_experiment(backend, row.spec)
            update.run(self._experiments[name])
            if update.progress is not None:
                self._progress.setdefault(name, {})[fingerprint] = update.progress
        except backend.faults as error:
            update.broken = True
            problem = faults.explain(error, backend.uri)
            tally.fail(update.left, problem)
            if faults.is_busy(error) or not backend.answers():
                away = problem
        if update.broken:
            # What is remembered may no longer be what MLflow holds.
            self._experiments.pop(name, None)
        else:
            # A run is trained again for series that it lacks; they are copied when they are there.
            self._complete |= {f for f in update.complete if not self._runs[f].lacking()}
        return away


class _RowUpdate:
    """One pass over one row.

    Attributes:
        left: Fingerprints of the runs that nothing has been counted for yet.
        complete: Fingerprints of the runs that never need another look.
        broken: Whether something failed.
        progress: How far the row is; None before that was found out.
    """

    def __init__(self, backend: Backend, row: _Row, tally: Tally) -> None:
        self._backend, self._row, self._tally = backend, row, tally
        self.left = row.fingerprints()
        self.complete: set[str] = set()
        self.broken = False
        self.progress: Progress | None = None

    def run(self, experiment: Experiment) -> None:
        """Bring the row and its seeds up to date.

        Raises:
            Exception: One of the backend's faults, when going on would be in vain.
        """
        row = self._row.spec.row
        contents = self._contents(experiment)
        created = self._create(experiment, contents)
        parent = experiment.rows.get(row)
        if parent is None:
            return
        for content in contents:
            done: Done = "created" if content.fingerprint in created else "updated"
            self._update_seed(experiment, content, parent, done)
        with self._tolerated([]):
            summary = row_content(experiment.of_row(row), self._row.waiting, self._row.trained)
            self.progress = summary.progress
            writer.update_row(self._backend, parent, summary)

    def _contents(self, experiment: Experiment) -> list[SeedContent]:
        """Return what has to be written; count the runs that MLflow holds already."""
        contents = []
        for run, state in self._row.begun:
            with self._tolerated([run.fingerprint]):
                held = experiment.seeds.get(run.fingerprint)
                if held is not None and self._is_synced(experiment, held, run, state):
                    self._count(run.fingerprint, state, "unchanged")
                    continue
                content = seed_content(run, state)
                verdict = "fill" if held is None else judge(self._backend, held, content)
                if verdict == "keep":
                    self._count(run.fingerprint, state, "unchanged")
                    continue
                if held is not None and verdict == "replace":
                    self._backend.client.delete_run(held.run_id)
                    del experiment.seeds[run.fingerprint]
                contents.append(content)
        return contents

    def _is_synced(
        self, experiment: Experiment, held: MlflowRun, run: StoredRun, state: RunState
    ) -> bool:
        """Whether *held* is complete and lies below its row, which may have been made anew."""
        parent = experiment.rows.get(self._row.spec.row)
        if parent is None or held.tags.get(names.PARENT) != parent.run_id:
            return False
        return held.tags.get(names.SYNCED) == digest_of(run, state)

    def _create(self, experiment: Experiment, contents: Sequence[SeedContent]) -> set[str]:
        """Create what is missing; return the fingerprints of the new runs."""
        spec = self._row.spec
        if spec.row not in experiment.rows:
            held = experiment.of_row(spec.row)
            starts = [content.start for content in contents] + [seed.start for seed in held]
            if not starts:
                return set()
            writer.create_row(experiment, spec, min(starts))
            experiment.load(spec.row)
            if spec.row not in experiment.rows:
                raise StoreError(_LOST.format(uri=self._backend.uri))
        missing = [content for content in contents if content.fingerprint not in experiment.seeds]
        for content in missing:
            writer.create_seed(experiment, content, experiment.rows[spec.row])
        if missing:
            experiment.load(spec.row)
        return {content.fingerprint for content in missing}

    def _update_seed(
        self, experiment: Experiment, content: SeedContent, parent: MlflowRun, done: Done
    ) -> None:
        with self._tolerated([content.fingerprint]):
            seed = experiment.seeds.get(content.fingerprint)
            if seed is None:
                raise StoreError(_LOST.format(uri=self._backend.uri))
            changed = writer.update_seed(self._backend, seed, content, parent)
            self._count(
                content.fingerprint,
                content.state,
                done if changed or done == "created" else "unchanged",
            )

    def _count(self, fingerprint: str, state: RunState, done: Done) -> None:
        self.left.remove(fingerprint)
        self._tally.count(fingerprint, done)
        if state in RESULTS:
            self.complete.add(fingerprint)

    @contextmanager
    def _tolerated(self, fingerprints: Sequence[str]) -> Iterator[None]:
        """Count the runs as failed when something fails, and go on unless MLflow is away."""
        try:
            yield
        except self._backend.faults as error:
            self.broken = True
            for fingerprint in fingerprints:
                self.left.remove(fingerprint)
            self._tally.fail(fingerprints, faults.explain(error, self._backend.uri))
            if faults.is_busy(error) or not self._backend.answers():
                raise
