"""Experiments ``normbench/PROBLEM/PROTOCOL`` and the index of the runs that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from normbench.errors import StoreError
from normbench.specs import RunSpec
from normbench.tracking import names, views
from normbench.tracking.backend import Backend

if TYPE_CHECKING:
    from mlflow.entities import Run

_PAGE = 500


@dataclass
class MlflowRun:
    """What MLflow holds about a row or a seed.

    Attributes:
        metrics: Last value of each metric.
        end: End in milliseconds, None while it goes on.
        steps: Values by metric and step; None until they were asked for.
    """

    run_id: str
    tags: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    status: str
    start: int
    end: int | None
    steps: dict[tuple[str, int], float] | None = None

    @classmethod
    def of(cls, run: Run) -> MlflowRun:
        """Take over what a search found."""
        return cls(
            run_id=run.info.run_id,
            tags=dict(run.data.tags),
            parameters=dict(run.data.params),
            metrics=dict(run.data.metrics),
            status=run.info.status,
            start=run.info.start_time or 0,
            end=run.info.end_time,
        )


@dataclass
class Experiment:
    """One experiment with its rows by row fingerprint and its seeds by fingerprint.

    When two collectors that do not know of each other create the same run, or a request is sent
    twice because its answer was lost, all agree to keep the one that began first, and among equals
    the one with the smallest id.
    """

    backend: Backend
    experiment_id: str
    tags: dict[str, str] = field(default_factory=dict)
    name: str = ""
    rows: dict[str, MlflowRun] = field(default_factory=dict)
    seeds: dict[str, MlflowRun] = field(default_factory=dict)
    _members: dict[str, dict[str, None]] = field(default_factory=dict)

    def load(self, row: str | None = None) -> None:
        """Read what MLflow holds, of one *row* or of all; runs held twice lose the second."""
        where = f"tags.`{names.ROW}` = '{row}'" if row else ""
        everything = search(self.backend, self.experiment_id, where)
        found = sorted(everything, key=lambda run: (run.start, run.run_id))
        rows: dict[str, MlflowRun] = {}
        seeds: dict[str, MlflowRun] = {}
        for run in found:
            kind = run.tags.get(names.KIND)
            if kind == names.KIND_ROW:
                self._keep(rows, run.tags[names.ROW], run)
            elif kind == names.KIND_SEED:
                self._keep(seeds, run.tags[names.FINGERPRINT], run)
        self.rows.update(rows)
        self.seeds.update(seeds)
        for fingerprint, run in seeds.items():
            self._members.setdefault(run.tags.get(names.ROW, ""), {})[fingerprint] = None

    def of_row(self, row: str) -> list[MlflowRun]:
        """Return the seeds of *row*."""
        return [self.seeds[name] for name in self._members.get(row, ()) if name in self.seeds]

    def _keep(self, kept: dict[str, MlflowRun], name: str, run: MlflowRun) -> None:
        if name in kept:
            self.backend.client.delete_run(run.run_id)
        else:
            kept[name] = run


def search(backend: Backend, experiment_id: str, where: str) -> Iterator[MlflowRun]:
    """Yield the runs of an experiment that pass MLflow's filter *where*."""
    token: str | None = None
    while True:
        page = backend.client.search_runs(
            [experiment_id], where, max_results=_PAGE, page_token=token
        )
        yield from map(MlflowRun.of, page)
        token = page.token
        if not token:
            return


def steps_of(backend: Backend, run: MlflowRun) -> dict[tuple[str, int], float]:
    """Return all values that MLflow holds about *run*, by metric and step."""
    if run.steps is None:
        run.steps = {
            (key, point.step): point.value
            for key in run.metrics
            for point in backend.client.get_metric_history(run.run_id, key)
        }
    return run.steps


def open_experiment(backend: Backend, spec: RunSpec) -> Experiment:
    """Return the experiment of *spec* with its runs; create it with tags and views if need be.

    Raises:
        StoreError: If it was deleted in MLflow, or its artifacts lie where the store used to be.
    """
    experiment = named_experiment(backend, names.experiment_name(spec))
    experiment_id, present = experiment.experiment_id, experiment.tags
    for key, value in list(_missing_tags(backend, experiment_id, spec, present)):
        backend.client.set_experiment_tag(experiment_id, key, value)
        present[key] = value
    experiment.load()
    return experiment


def named_experiment(backend: Backend, name: str) -> Experiment:
    """Return the experiment *name* without its runs; create it if there is none.

    Raises:
        StoreError: If it was deleted in MLflow, or its artifacts lie where the store used to be.
    """
    found = backend.client.get_experiment_by_name(name)
    if found is None:
        location = backend.artifact_location(name)
        try:
            backend.client.create_experiment(name, artifact_location=location)
        except backend.faults:
            # Somebody else may have created it, or this very request before its answer was lost.
            if backend.client.get_experiment_by_name(name) is None:
                raise
        found = backend.client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {name!r} was deleted in MLflow at {backend.uri}, and its name cannot be "
            f"used again. Restore it: mlflow experiments restore -x {found.experiment_id}."
        )
    backend.settle_location(name, found.artifact_location)
    return Experiment(backend, str(found.experiment_id), dict(found.tags), name)


def _missing_tags(
    backend: Backend, experiment_id: str, spec: RunSpec, present: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what has changed; the note and the views are people's once they are there."""
    metric = spec.problem.metric
    wanted = {
        **names.OF_EXPERIMENT,
        names.PROBLEM: spec.problem.name,
        names.PROTOCOL: spec.protocol.name,
        "normbench.metric": metric.name,
        "normbench.direction": metric.direction,
        "normbench.worst_score": names.shown(metric.worst),
    }
    for key, value in wanted.items():
        if present.get(key) != value:
            yield key, value
    if backend.named_views and views.NOTE not in present:
        yield views.NOTE, views.note(experiment_id)
    if backend.named_views and present.get(views.VERSION_TAG) != views.VERSION:
        for key, value in views.view_tags(metric):
            # Those that are there were written by somebody who did not get as far as the version.
            if views.fingerprint(present.get(key, "")) != views.fingerprint(value):
                yield key, value
        yield views.VERSION_TAG, views.VERSION
