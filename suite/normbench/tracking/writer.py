"""Brings single runs in MLflow to what they should hold, whatever they hold so far.

Every step may be the last before the process or the server dies. The tag ``normbench.synced`` is
written after all else, so a run that carries the right one is complete; of any other run, what is
missing is found out and added.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from normbench.specs import RunSpec
from normbench.store.series import SERIES_FOLDER, series_path
from normbench.tracking import names
from normbench.tracking.backend import Backend
from normbench.tracking.experiments import Experiment, MlflowRun, steps_of
from normbench.tracking.rows import RowContent
from normbench.tracking.seeds import Point, SeedContent, identity_tags

# MLflow takes 1000 of all kinds together in one request.
_MOST_METRICS = 800
_MOST_WORDS = 100
# Tags that a run loses when it is tried again; all others are only ever replaced.
_PASSING = (names.OUTCOME, names.MESSAGE, names.FINISHED_AT)
_T = TypeVar("_T")


def create_row(
    experiment: Experiment, spec: RunSpec, start: int, entries: Mapping[str, str]
) -> None:
    """Create the run of the row of *spec* with the tags that tell of its runs."""
    tags = {**identity_tags(spec), **names.SOURCE, names.KIND: names.KIND_ROW, **entries}
    experiment.backend.client.create_run(
        experiment.experiment_id, start_time=start, tags=tags, run_name=names.row_name(spec)
    )


def create_seed(experiment: Experiment, content: SeedContent, parent: MlflowRun) -> None:
    """Create the run of a seed."""
    tags = {**content.tags, **names.SOURCE, names.PARENT: parent.run_id}
    name = names.seed_name(content.run.spec)
    experiment.backend.client.create_run(
        experiment.experiment_id, start_time=content.start, tags=tags, run_name=name
    )


def tag_experiment(experiment: Experiment, tags: Mapping[str, str]) -> None:
    """Set those of *tags* that the experiment does not carry yet."""
    for name, value in tags.items():
        if experiment.tags.get(name) != value:
            client = experiment.backend.client
            client.set_experiment_tag(experiment.experiment_id, name, value)
            experiment.tags[name] = value


def update_row(
    backend: Backend, row: MlflowRun, content: RowContent, entries: Mapping[str, str]
) -> None:
    """Bring the run of a row up to date; *entries* are the tags that tell of its runs."""
    newer = [point for point in content.points if row.metrics.get(point.key) != point.value]
    corrected = [_outdating(point, row) for point in newer]
    _log(backend, row, corrected, {}, {**content.tags, **entries})
    _set_status(backend, row, content.status, content.end)


def _outdating(point: Point, row: MlflowRun) -> Point:
    """Return *point* so that MLflow shows it rather than what *row* holds.

    Of the values at one step the latest is shown, and of equally late ones the largest.
    """
    if point.key not in row.metrics:
        return point
    step = max(point.step, int(row.metrics.get(names.RESULTS, 0)))
    return point._replace(step=step, time=max(point.time, round(time.time() * 1000)))


def update_seed(backend: Backend, seed: MlflowRun, content: SeedContent, parent: MlflowRun) -> bool:
    """Bring the run of a seed up to date; return whether anything had to be written."""
    tags = {**content.tags, names.PARENT: parent.run_id}
    parameters = {
        name: value for name, value in content.parameters.items() if name not in seed.parameters
    }
    known = steps_of(backend, seed)
    points = [point for point in content.points if (point.key, point.step) not in known]
    changed = _log(backend, seed, points, parameters, tags)
    changed |= _drop_tags(backend, seed, [name for name in _PASSING if name not in tags])
    if content.end is not None and seed.tags.get(names.SYNCED) != content.digest:
        _save_artifacts(backend, seed, content)
    changed |= _set_status(backend, seed, content.status, content.end or 0)
    if content.digest:
        changed |= _log(backend, seed, [], {}, {names.SYNCED: content.digest})
    return changed


def _log(
    backend: Backend,
    run: MlflowRun,
    points: Sequence[Point],
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
) -> bool:
    """Send what is new in as few requests as MLflow's limits allow; return whether any was."""
    from mlflow.entities import Metric, Param, RunTag

    new_tags = {name: value for name, value in tags.items() if run.tags.get(name) != value}
    metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
    words = [Param(name, value) for name, value in parameters.items()]
    labels = [RunTag(name, value) for name, value in new_tags.items()]
    for some_metrics, some_words, some_labels in zip_longest(
        _parts(metrics, _MOST_METRICS),
        _parts(words, _MOST_WORDS),
        _parts(labels, _MOST_WORDS),
        fillvalue=(),
    ):
        backend.client.log_batch(
            run.run_id,
            metrics=some_metrics,
            params=some_words,
            tags=some_labels,
            synchronous=True,
        )
    run.parameters.update(parameters)
    run.tags.update(new_tags)
    for point in points:
        run.metrics[point.key] = point.value
        if run.steps is not None:
            run.steps[point.key, point.step] = point.value
    return bool(metrics or words or labels)


def _parts(items: Sequence[_T], size: int) -> Iterable[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _drop_tags(backend: Backend, run: MlflowRun, tags: Iterable[str]) -> bool:
    present = [name for name in tags if name in run.tags]
    for name in present:
        backend.client.delete_tag(run.run_id, name)
        del run.tags[name]
    return bool(present)


def _set_status(backend: Backend, run: MlflowRun, status: str, end: int) -> bool:
    going_on = status in ("RUNNING", "SCHEDULED")
    if run.status == status and (going_on or run.end == end):
        return False
    if going_on:
        backend.client.update_run(run.run_id, status=status)
    else:
        backend.client.set_terminated(run.run_id, status=status, end_time=end)
        run.end = end
    run.status = status
    return True


def _save_artifacts(backend: Backend, seed: MlflowRun, content: SeedContent) -> None:
    """Upload spec, environment, result, journal and series as the store holds them."""
    run = content.run
    with tempfile.TemporaryDirectory(prefix="normbench-") as name:
        folder = Path(name)
        shutil.copyfile(run.path / "spec.json", folder / "spec.json")
        for file, value in (("environment", run.environment()), ("result", run.result())):
            if value is not None:
                text = json.dumps(value, indent=1, sort_keys=True)
                (folder / f"{file}.json").write_text(text, encoding="utf-8")
        lines = [json.dumps(point) + "\n" for point in run.points()]
        (folder / "journal.jsonl").write_text("".join(lines), encoding="utf-8")
        for observer in run.observed():
            (folder / SERIES_FOLDER).mkdir(exist_ok=True)
            published = series_path(run.path, observer)
            shutil.copyfile(published, folder / SERIES_FOLDER / published.name)
        backend.client.log_artifacts(seed.run_id, str(folder))
