"""The copy of a run store in MLflow, and how it is brought up to date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from normbench.errors import StoreError
from normbench.garbage import seldom_collected
from normbench.store import (
    Index,
    IndexedRun,
    RunState,
    RunStore,
    StoredRun,
    read_shown,
    readable_declarations,
)
from normbench.tracking import faults, names, writer
from normbench.tracking.backend import Backend, open_backend
from normbench.tracking.experiments import Experiment, MlflowRun, open_experiment
from normbench.tracking.gathering import Place, Row, gather
from normbench.tracking.known_settings import setting_tags
from normbench.tracking.progress import Progress
from normbench.tracking.report import Done, Tally
from normbench.tracking.rows import row_content
from normbench.tracking.seeds import RESULTS, SeedContent, digest_of, seed_content
from normbench.tracking.standing import judge

_LOST = "MLflow at {uri} does not show a run that it has just made; `normbench sync` tries again."


class Mirror:
    """The copy of a store in MLflow. Whoever updates it holds the store's collector lock.

    It remembers what MLflow holds, so that updating again costs requests only where something is
    new.

    Attributes:
        results: How many runs had their result when it was brought up to date last.
    """

    def __init__(self, store: RunStore, uri: str | None = None) -> None:
        self._store, self._uri = store, uri
        self.results = 0
        self._backend: Backend | None = None
        self._experiments: dict[str, Experiment] = {}
        self._runs: dict[str, StoredRun] = {}
        self._complete: dict[str, IndexedRun] = {}
        self._progress: dict[str, dict[str, Progress]] = {}
        self._told: dict[Place, object] = {}

    def update(self, runs: Iterable[StoredRun] | None = None) -> Tally:
        """Copy what is new of *runs*, by default of all.

        A run that fails is counted and passed over; when MLflow is away, all that are left fail.

        Raises:
            StoreError: If MLflow's database cannot be used as it is.
        """
        backend = self._backend = self._backend or open_backend(self._store, self._uri)
        with seldom_collected():
            return self._update(backend, runs)

    def _update(self, backend: Backend, runs: Iterable[StoredRun] | None) -> Tally:
        tally = Tally()
        away = ""
        for place, row in self._rows(runs, tally).items():
            if away:
                tally.fail(row.fingerprints(), away)
            elif row.begun or row.standing != self._told.get(place):
                away = self._update_row(backend, place, row, tally)
        if not away:
            self._say_progress(backend, tally)
        return tally

    def _say_progress(self, backend: Backend, tally: Tally) -> None:
        """Tag each experiment with how far its rows are together, and with known settings."""
        for name, rows in self._progress.items():
            if experiment := self._experiments.get(name):
                try:
                    writer.tag_experiment(experiment, Progress.of_all(rows.values()).tags())
                    problem = experiment.tags[names.PROBLEM]
                    writer.tag_experiment(experiment, setting_tags(self._store.root, problem))
                except backend.faults as error:
                    tally.fail([], faults.explain(error, backend.uri))

    def _rows(self, runs: Iterable[StoredRun] | None, tally: Tally) -> dict[Place, Row]:
        """Return the rows with the runs that are to be looked at: those not known complete."""
        index = self._store.index()
        self.results = count_results(index)
        wanted = None if runs is None else {run.fingerprint for run in runs}
        for fingerprint, problem in index.damaged.items():
            if wanted is None or fingerprint in wanted:
                tally.fail([fingerprint], problem)
        chosen = index.runs.keys() if wanted is None else index.runs.keys() & wanted
        # A result that was wrong is put right under the same name.
        same = {name for name in chosen if self._complete.get(name) == index.runs[name]}
        for fingerprint in same:
            tally.count(fingerprint, "unchanged")
        declared, damaged = readable_declarations(self._store.root)
        for error in damaged.values():
            tally.fail([], str(error))
        try:
            shown = read_shown(self._store.root)
        except StoreError as error:
            tally.fail([], str(error))
            shown = {}
        rows = gather(index, chosen - same, self._runs, declared, shown)
        self._runs |= {run.fingerprint: run for row in rows.values() for run, _ in row.begun}
        return rows

    def _update_row(self, backend: Backend, place: Place, row: Row, tally: Tally) -> str:
        """Update one row; return why MLflow is away, or nothing."""
        told = row.standing
        update = _RowUpdate(backend, row, tally, tell=told != self._told.get(place))
        away = ""
        try:
            if place.experiment not in self._experiments:
                self._experiments[place.experiment] = open_experiment(backend, row.spec)
            update.run(self._experiments[place.experiment])
        except backend.faults as error:
            update.broken = True
            problem = faults.explain(error, backend.uri)
            tally.fail(update.left, problem)
            if faults.is_busy(error) or not backend.answers():
                away = problem
        if update.progress is not None:
            self._progress.setdefault(place.experiment, {})[place.row] = update.progress
        if update.broken:
            # What is remembered may no longer be what MLflow holds.
            self._experiments.pop(place.experiment, None)
        else:
            self._told[place] = told
            # A run is trained again for series that it lacks; they are copied when they are there.
            done = (run for run in row.runs if run.fingerprint in update.complete)
            self._complete |= {
                run.fingerprint: run for run in done if not self._runs[run.fingerprint].lacking()
            }
        return away


def count_results(index: Index) -> int:
    """Return how many runs have their result."""
    return sum(run.done for run in index.runs.values())


class _RowUpdate:
    """One pass over one row.

    Args:
        backend: Where MLflow is.
        row: The row.
        tally: Counts what is done.
        tell: Whether the row's tags may not say yet how its runs stand.

    Attributes:
        left: Fingerprints of the runs that nothing has been counted for yet.
        complete: Fingerprints of the runs that never need another look.
        ours: Fingerprints of the runs that MLflow holds as the store does.
        broken: Whether something failed.
        progress: How far the row is; None before that was found out.
    """

    def __init__(self, backend: Backend, row: Row, tally: Tally, *, tell: bool) -> None:
        self._backend, self._row, self._tally, self._tell = backend, row, tally, tell
        self.left = row.fingerprints()
        self.complete: set[str] = set()
        self.ours: set[str] = set()
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
            entries = self._row.told(parent.tags, self.ours) if self._tell else {}
            writer.update_row(self._backend, parent, summary, entries)

    def _contents(self, experiment: Experiment) -> list[SeedContent]:
        """Return what has to be written; count the runs that MLflow holds already."""
        contents = []
        for run, state in self._row.begun:
            with self._tolerated([run.fingerprint]):
                held = experiment.seeds.get(run.fingerprint)
                if held is not None and self._is_synced(experiment, held, run, state):
                    self.ours.add(run.fingerprint)
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
            start = min(starts, default=round(self._row.now * 1000))
            writer.create_row(experiment, spec, start, self._row.told({}))
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
            self.ours.add(content.fingerprint)
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
