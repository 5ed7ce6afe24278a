"""Links to MLflow's pages: of an experiment's runs, of a run, of a file of a run."""

from __future__ import annotations

from urllib.parse import quote

from normbench.tracking.views.ofruns import CURVES

CHARTS = "&compareRunsMode=CHART"


def link(base: str, experiment_id: str, view: str | None = None, *, charts: bool = False) -> str:
    """Return the link that opens an experiment's runs in the model-training pages.

    Args:
        base: Address of the server, empty for links within its pages.
        experiment_id: Experiment.
        view: Key of a saved view, None for the plain page.
        charts: Whether to open the view's charts instead of its table.
    """
    address = f"{base}#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    if view is None:
        return address
    return f"{address}&viewStateShareKey={view}{CHARTS if charts or view == CURVES else ''}"


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """Return the link that opens a run."""
    return f"{base}#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def artifact_link(base: str, experiment_id: str, run_id: str, path: str) -> str:
    """Return the link that opens a file of a run."""
    place = f"{base}#/experiments/{experiment_id}/runs/{run_id}/artifacts/{quote(path)}"
    return f"{place}?workflowType=machine_learning"
