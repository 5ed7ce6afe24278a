"""Training loss and accuracy of one norm's ablations, as in DissectBatchNorm.

One curve each for the network without norm, with γ and β trained, with neither, with β alone and
with γ alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.plots.curves import Curves, draw, gather_by
from normbench.plots.figures import Look, different_rows, title_of
from normbench.specs import RunSpec
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODES: Mapping[str, str] = {
    "none": "no norm",
    "trained": "γ and β train",
    "fixed": "neither trains",
    "fixed_gamma": "β trains",
    "fixed_beta": "γ trains",
}


def figure(runs: Sequence[StoredRun], look: Look) -> Figure:
    """Return the figure of *runs*: one norm, one optimizer, one mask.

    Raises:
        UsageError: If they differ in more than the ablation.
    """
    masks = {run.spec.mask_label for run in runs} - {"none"}
    if len(masks) > 1:
        raise UsageError(
            f"these runs have {len(masks)} masks of norm sites ({', '.join(sorted(masks))}). "
            "Choose one and the network without norm: sites=all,none. Or draw a panel for each: "
            "--figure masks"
        )
    rows = rows_by_mode(runs)
    return draw(
        rows, band=look.band, log_loss=look.log_loss, title=title_of(runs), parts=("train",)
    )


def rows_by_mode(runs: Sequence[StoredRun]) -> list[Curves]:
    """Return the curves of *runs* by ablation, in the order of :data:`MODES`.

    Raises:
        UsageError: If two rows have the same ablation, since they differ in something else.
    """
    rows = gather_by(runs, lambda spec: MODES[mode_of(spec)])
    if len(rows) < len({run.spec.row for run in runs if run.points()}):
        specs = {run.spec.row: run.spec for run in runs}
        raise UsageError(different_rows(list(specs.values())))
    order = list(MODES.values())
    return sorted(rows, key=lambda curves: order.index(curves.label))


def mode_of(spec: RunSpec) -> str:
    """Return which of γ and β train, or ``none`` where there is no norm."""
    return "none" if spec.norm.name == "none" else spec.ablation.train
