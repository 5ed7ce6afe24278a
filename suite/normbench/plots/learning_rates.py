"""Training loss and accuracy, one curve for each learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.plots.curves import draw, gather_by
from normbench.plots.figures import Look, different_rows, title_of
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(runs: Sequence[StoredRun], look: Look) -> Figure:
    """Return the figure of *runs*, which differ in nothing but the learning rate.

    Raises:
        UsageError: If they differ in something else.
    """
    rates = {run.fingerprint: run.spec.learning_rate for run in runs}
    ordered = sorted(runs, key=lambda run: rates[run.fingerprint])
    rows = gather_by(ordered, lambda spec: f"η = {spec.learning_rate:.4g}")
    if len(rows) < len({run.spec.row for run in runs if run.points()}):
        specs = {run.spec.row: run.spec for run in runs}
        raise UsageError(different_rows(list(specs.values())))
    return draw(
        rows, band=look.band, log_loss=look.log_loss, title=title_of(runs), parts=("train",)
    )
