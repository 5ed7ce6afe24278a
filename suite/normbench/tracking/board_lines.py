"""The rows of a published leaderboard: ``lb/*`` metrics and ``lb.*`` tags on their runs in MLflow.

MLflow cannot delete a metric. What a row no longer has becomes no number, which its pages leave out
and sort last; the values of older revisions stay in its history, by their steps. Tags are deleted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.errors import BusyError, StoreError
from normbench.tracking import names
from normbench.tracking.backend import Backend
from normbench.tracking.experiments import Experiment, MlflowRun, search
from normbench.tracking.publications import Line, Publication
from normbench.tracking.revisions import Revision

if TYPE_CHECKING:
    from mlflow.entities import Metric

_PREFIX = "lb."
_PAUSE = 0.5
_SHOWN = 3

Runs = Mapping[str, MlflowRun]


def row_runs(
    experiment: Experiment,
    lines: Sequence[Line],
    *,
    problems: Sequence[str] | None,
    wait: float,
) -> Runs:
    """Return the runs of all rows of an experiment, by fingerprint.

    Args:
        experiment: The experiment.
        lines: Rows whose results must be there.
        problems: What kept runs from being copied; None while another process copies them.
        wait: Seconds to wait for that one.

    Raises:
        StoreError: If results of *lines* are missing; with the reason.
    """
    deadline = time.monotonic() + wait
    while True:
        held = _first_by(names.ROW, experiment, names.KIND_ROW)
        behind = [line.name for line in lines if _results(held.get(line.key)) < line.n]
        if not behind:
            return held
        if problems is not None or time.monotonic() > deadline:
            raise _missing(behind, problems)
        time.sleep(_PAUSE)


def line_runs(experiment: Experiment, given: Publication, notes: Mapping[str, str]) -> Runs:
    """Return a run for each line in an experiment that holds no rows; create what is missing.

    Args:
        experiment: The experiment.
        given: The leaderboard.
        notes: What to say of a line, in Markdown, by its key.
    """
    client, board = experiment.backend.client, given.key
    held = _first_by(names.LINE, experiment, names.KIND_LINE)
    missing = [line for line in given.lines if f"{board}/{line.key}" not in held]
    now = int(time.time() * 1000)
    for line in missing:
        tags = {names.KIND: names.KIND_LINE, names.LINE: f"{board}/{line.key}", **names.SOURCE}
        if line.key in notes:
            tags[names.NOTE] = notes[line.key]
        tags |= line.identity
        run = client.create_run(
            experiment.experiment_id, start_time=now, tags=tags, run_name=line.name
        )
        client.set_terminated(run.info.run_id, end_time=now)
    if missing:
        held = _first_by(names.LINE, experiment, names.KIND_LINE)
    own = f"{board}/"
    return {key.removeprefix(own): run for key, run in held.items() if key.startswith(own)}


def write_lines(backend: Backend, revision: Revision, lines: Sequence[Line], held: Runs) -> bool:
    """Bring the runs of *lines* to what *revision* shows; return whether anything was written.

    Rows that the leaderboard no longer holds lose their tags, and their metrics are no numbers.
    """
    changed = False
    for line in lines:
        # A row whose seeds all wait may be missing.
        if run := held.get(line.key):
            changed |= _write(backend, revision, line, run)
    kept = {line.key for line in lines}
    for key, run in held.items():
        if key not in kept and run.tags.get(names.BOARD) == revision.board:
            # The tags last: they say that there is something to take back.
            if void := _void(run, (), revision):
                backend.client.log_batch(run.run_id, metrics=void, synchronous=True)
            changed |= _drop(backend, run, [name for name in run.tags if name.startswith(_PREFIX)])
    return changed


def _void(run: MlflowRun, kept: Collection[str], revision: Revision) -> list[Metric]:
    """Return what takes metrics of a leaderboard back that *run* has and that are not *kept*."""
    from mlflow.entities import Metric

    given = (name for name, value in run.metrics.items() if not math.isnan(value))
    stale = (name for name in given if name.startswith(names.LB) and name not in kept)
    return [Metric(name, math.nan, revision.run.start, revision.number) for name in stale]


def _write(backend: Backend, revision: Revision, line: Line, run: MlflowRun) -> bool:
    from mlflow.entities import Metric, RunTag

    tags = {
        **line.texts,
        names.BOARD: revision.board,
        names.BOARD_RUN: revision.run.run_id,
    }
    stale = [name for name in run.tags if name.startswith(_PREFIX) and name not in tags]
    changed = _drop(backend, run, stale)
    if all(run.tags.get(name) == value for name, value in tags.items()):
        return changed
    # Written twice after an interruption, a metric of the same time and step is there once.
    metrics = [
        Metric(key, value, revision.run.start, revision.number)
        for key, value in line.metrics.items()
    ]
    metrics += _void(run, line.metrics, revision)
    labels = [RunTag(name, value) for name, value in tags.items()]
    backend.client.log_batch(run.run_id, metrics=metrics, tags=labels, synchronous=True)
    run.tags.update(tags)
    return True


def _drop(backend: Backend, run: MlflowRun, tags: Sequence[str]) -> bool:
    for name in tags:
        backend.client.delete_tag(run.run_id, name)
        del run.tags[name]
    return bool(tags)


def _first_by(tag: str, experiment: Experiment, kind: str) -> dict[str, MlflowRun]:
    """Return runs by the value of a tag; of several with the same the one that began first."""
    where = f"tags.`{names.KIND}` = '{kind}'"
    found = search(experiment.backend, experiment.experiment_id, where)
    ordered = sorted(found, key=lambda run: (run.start, run.run_id), reverse=True)
    return {run.tags[tag]: run for run in ordered}


def _results(run: MlflowRun | None) -> float:
    """Return how many results of a row MLflow holds; none of one that is missing itself."""
    return 0 if run is None else run.metrics.get("row/n", 0)


def _missing(behind: Sequence[str], problems: Sequence[str] | None) -> StoreError:
    more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
    rows = f"{', '.join(behind[:_SHOWN])}{more}"
    if problems is None:
        return BusyError(
            f"MLflow still lacks results of {rows}; another normbench process, such as an open "
            "`normbench ui`, copies them. Publish again when it has, or when it has ended."
        )
    why = f": {'; '.join(problems)}" if problems else ""
    return StoreError(f"MLflow lacks results of {rows}{why}. See: normbench sync")
