"""The views of an experiment's seeds: their table, their curves, and those without a good end."""

from __future__ import annotations

from collections.abc import Iterator

from normbench.descriptions import Metric
from normbench.store import RunState
from normbench.tracking import names
from normbench.tracking.seeds import RESULTS, result_keys
from normbench.tracking.views.form import View, has_tags, lacks_tags, metric, parameter, tag

RUNS = "normbench-runs"
CURVES = "normbench-curves"
DIVERGED = "normbench-diverged"
INCOMPLETE = "normbench-incomplete"
_SEEDS = {names.KIND: names.KIND_SEED}
_WHO = {parameter("norm"): 150, parameter("optimizer"): 120, parameter("seed"): 70}


def view_tags(judged_by: Metric) -> Iterator[tuple[str, str]]:
    """Yield the experiment tags of all these views."""
    for view in (runs_view, curves_view, diverged_view, incomplete_view):
        yield view(judged_by).tag()


def runs_view(judged_by: Metric) -> View:
    """Return the table of all seeds, the best first.

    Ordered by time, the page would fold the seeds under their rows.
    """
    score, best = metric(f"final/{judged_by.name}"), metric(f"best/{judged_by.name}")
    return View(
        key=RUNS,
        name="Runs",
        where=has_tags(_SEEDS),
        columns={
            **_WHO,
            tag(names.STATE): 130,
            score: 160,
            best: 160,
            metric("final/epochs"): 100,
            metric("final/train_s"): 110,
            metric("final/images_per_s"): 150,
        },
        sort=score,
        ascending=judged_by.direction == "min",
    )


def curves_view(judged_by: Metric) -> View:
    """Return the learning curves, one line with its range over the seeds for each row."""
    part, _, name = judged_by.name.partition("_")
    lines = [names.metric_key(part, name), "train/loss"]
    return View(
        key=CURVES,
        name="Curves",
        place=1,
        where=has_tags(_SEEDS),
        columns={**_WHO, metric(f"final/{judged_by.name}"): 160, metric("final/epochs"): 110},
        sort=metric(names.FINAL_SCORE),
        ascending=judged_by.direction == "min",
        group_tag=names.ROW_NAME,
        lines=list(dict.fromkeys(lines)),
        hidden=result_keys(name),
    )


def diverged_view(_judged_by: Metric) -> View:
    """Return the seeds that diverged, the earliest first."""
    step = metric("final/diverged_at_step")
    return View(
        key=DIVERGED,
        name="Diverged",
        place=2,
        where=has_tags({**_SEEDS, names.STATE: RunState.DIVERGED.value}),
        columns={**_WHO, step: 170, metric("final/epochs"): 110, parameter("lr"): 90},
        sort=step,
    )


def incomplete_view(_judged_by: Metric) -> View:
    """Return the seeds that have no result: failed, killed, or still at work."""
    ended = [state.value for state in RESULTS]
    return View(
        key=INCOMPLETE,
        name="Incomplete",
        place=3,
        where=f"{has_tags(_SEEDS)} and {lacks_tags(names.STATE, ended)}",
        columns={**_WHO, tag(names.STATE): 130, tag(names.MESSAGE): 500},
        sort=tag(names.STATE),
    )
