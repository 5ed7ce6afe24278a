"""``normbench status``: how far the runs of a store are."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from normbench.cli import complete, output
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.selection import find_runs
from normbench.live import RunView, glance_at
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore
from normbench.tables import score

_SHOWN_STATES = {
    "done": (RunState.FINISHED,),
    "diverged": (RunState.DIVERGED,),
    "running": (RunState.RUNNING,),
    "interrupted": (RunState.INTERRUPTED,),
    "pending": (RunState.PENDING,),
    "failed": (RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.TIMED_OUT, RunState.KILLED),
}
_MOVING = ("running", "pending")


@dataclass(frozen=True)
class StatusRow:
    """A cell at a setting, as its runs are at a moment.

    Attributes:
        views: One for each run, by seed.
    """

    views: tuple[RunView, ...]

    @property
    def spec(self) -> RunSpec:
        """The spec of one of the seeds."""
        return self.views[0].run.spec

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs by what the table calls their state."""
        states = Counter(view.state for view in self.views)
        return {word: sum(states[s] for s in group) for word, group in _SHOWN_STATES.items()}

    @property
    def scores(self) -> dict[int, float]:
        """Score of each finished or diverged run, by seed; a diverged one has the worst score."""
        return {v.run.spec.seed: v.score for v in self.views if v.score is not None}

    @property
    def setting(self) -> str:
        """The hyper-parameters that differ from their defaults, and where they come from."""
        values = self.spec.identity["optimizer"]["parameters"]
        words = [f"{name}={output.shown(value)}" for name, value in values.items()]
        origin = self.spec.setting_origin
        return " ".join([*words, "untuned" if origin == "default" else f"({origin})"])

    @property
    def live(self) -> str:
        """Epoch of each running seed."""
        running = [view for view in self.views if view.state is RunState.RUNNING]
        return ", ".join(f"seed {v.run.spec.seed}: {v.epoch}/{v.epochs}" for v in running)

    @property
    def messages(self) -> dict[int, str]:
        """Why runs failed, by seed."""
        failed = [view.run for view in self.views if view.state in _SHOWN_STATES["failed"]]
        return {run.spec.seed: run.attempts()[-1].message for run in failed if run.attempts()}

    def to_dict(self) -> dict[str, Any]:
        """Return the row as strict JSON values."""
        scores = list(self.scores.values())
        spec = self.spec
        return {
            "row": spec.row,
            "problem": spec.problem.name,
            "norm": spec.norm_label,
            "optimizer": spec.optimizer.name,
            "protocol": spec.protocol.name,
            "deviations": list(spec.deviations),
            "setting": dict(spec.optimizer.parameters),
            "setting_origin": spec.setting_origin,
            "metric": spec.problem.metric.name,
            "states": self.counts,
            "n": len(scores),
            "mean": statistics.fmean(scores) if scores else None,
            "sd": statistics.stdev(scores) if len(scores) > 1 else None,
            "runs": [_run_record(view) for view in self.views],
            "messages": {str(seed): text for seed, text in self.messages.items()},
        }


@click.command("status")
@click.option("--problem", shell_complete=complete.problems, help="Only this problem.")
@click.option("--norm", shell_complete=complete.norms, help="Only this norm.")
@click.option("--optimizer", shell_complete=complete.optimizers, help="Only this optimizer.")
@click.option("--protocol", shell_complete=complete.protocols, help="Only this protocol.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Look again every SECONDS until no run is running or pending.",
)
@json_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation, /, watch: float | None, as_json: bool, **filters: str | None
) -> None:
    """Show how far the runs of a store are.

    One line for each cell at a setting. The score is the mean over finished and diverged
    seeds, with the standard deviation (n - 1) and their number; a diverged seed counts with the
    problem's worst score.
    """
    store = invocation.open_store()
    words = [f"{name}={value}" for name, value in filters.items() if value]
    while True:
        rows = _rows(store, words)
        if as_json:
            output.print_json([row.to_dict() for row in rows])
        else:
            _print(store, rows)
        if watch is None or not any(row.counts[state] for row in rows for state in _MOVING):
            return
        time.sleep(watch)
        click.clear()


def _rows(store: RunStore, words: Sequence[str]) -> list[StatusRow]:
    by_row: dict[str, list[RunView]] = {}
    for run in find_runs(store, words):
        by_row.setdefault(run.spec.row, []).append(glance_at(run))
    return [StatusRow(tuple(views)) for views in by_row.values()]


def _run_record(view: RunView) -> dict[str, Any]:
    return {
        "fingerprint": view.run.fingerprint,
        "seed": view.run.spec.seed,
        "state": view.state.value,
        "epoch": view.epoch,
        "epochs": view.epochs,
        "score": view.score,
    }


def _print(store: RunStore, rows: Sequence[StatusRow]) -> None:
    if not rows:
        click.echo(f"the store {store.root} holds no runs")
        return
    counted = [tuple(str(count or "") for count in row.counts.values()) for row in rows]
    output.print_table(
        (
            "problem",
            "norm",
            "optimizer",
            "protocol",
            "setting",
            *_SHOWN_STATES,
            "mean ± sd (n)",
            "epoch",
            "row",
        ),
        [
            (
                row.spec.problem.name,
                row.spec.norm_label,
                row.spec.optimizer.name,
                " ".join([row.spec.protocol.name, *row.spec.deviations]),
                row.setting,
                *counts,
                _score(row),
                row.live,
                row.spec.row[:8],
            )
            for row, counts in zip(rows, counted, strict=True)
        ],
        right=tuple(_SHOWN_STATES),
    )
    click.echo(f"\nmean ± sd (n): of {_metrics(rows)}, over done and diverged seeds")
    for row in rows:
        for seed, message in row.messages.items():
            click.echo(f"row {row.spec.row[:8]} seed {seed} failed: {message}")


def _metrics(rows: Sequence[StatusRow]) -> str:
    """Return what the scores are, by problem where they differ."""
    problems = {row.spec.problem.name: row.spec.problem.metric.name for row in rows}
    if len(set(problems.values())) == 1:
        return next(iter(problems.values()))
    return ", ".join(f"{metric} ({problem})" for problem, metric in problems.items())


def _score(row: StatusRow) -> str:
    """Return mean, spread and number of the finished seeds' scores."""
    scores, metric = list(row.scores.values()), row.spec.problem.metric.name
    if not scores:
        return ""
    mean = score(statistics.fmean(scores), metric)
    if len(scores) == 1:
        return f"{mean} (1)"
    return f"{mean} ± {score(statistics.stdev(scores), metric)} ({len(scores)})"
