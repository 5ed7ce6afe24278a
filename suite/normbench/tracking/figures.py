"""Figures in MLflow: one run of each experiment holds those that were published there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from normbench.errors import BusyError, StoreError
from normbench.store import RunStore, StoredRun
from normbench.tracking import faults, names
from normbench.tracking.backend import Backend, open_backend
from normbench.tracking.experiments import open_experiment
from normbench.tracking.sync import LOCK

KIND_FIGURES = "figures"
FOLDER = "figures"


def publish_figure(
    store: RunStore,
    runs: Sequence[StoredRun],
    path: Path,
    *,
    uri: str | None = None,
    wait: float = 10.0,
) -> str:
    """Put the figure file *path* of *runs* into MLflow; one of the same name is replaced.

    It lies below ``figures/`` in the run ``figures`` of the runs' experiment.

    Args:
        store: The run store.
        runs: What the figure shows, all of one problem.
        path: The file.
        uri: Tracking URI; by default ``$MLFLOW_TRACKING_URI``, else the database in the store.
        wait: Seconds to wait for another process that writes to this store's MLflow.

    Returns:
        The experiment and the artifact, in words.

    Raises:
        BusyError: If another process keeps MLflow busy.
        StoreError: If MLflow cannot be written.
    """
    with store.lock(LOCK, wait=wait) as held:
        if not held:
            raise BusyError(
                f"another normbench process writes to the MLflow of {store.root}, such as an open "
                f"`normbench ui`. Close it and publish again; the figure is in {path}."
            )
        backend = open_backend(store, uri)
        try:
            run_id = _figures_run(backend, runs)
            backend.client.log_artifact(run_id, str(path), FOLDER)
        except backend.faults as error:
            raise StoreError(
                f"{path} could not be put into MLflow: {faults.explain(error, backend.uri)}"
            ) from error
    return f"{names.experiment_name(runs[0].spec)}, run figures, {FOLDER}/{path.name}"


def _figures_run(backend: Backend, runs: Sequence[StoredRun]) -> str:
    """Return the id of the run that holds figures; create it if there is none."""
    experiment = open_experiment(backend, runs[0].spec)
    found = backend.client.search_runs(
        [experiment.experiment_id], f"tags.`{names.KIND}` = '{KIND_FIGURES}'", max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    now = int(time.time() * 1000)
    run = backend.client.create_run(
        experiment.experiment_id,
        start_time=now,
        tags={names.KIND: KIND_FIGURES, "mlflow.source.name": "normbench"},
        run_name=KIND_FIGURES,
    )
    backend.client.set_terminated(run.info.run_id, end_time=now)
    return str(run.info.run_id)
