"""What a user sees while runs train: bars on a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from normbench.cli.run_names import RunName, run_names
from normbench.live import RunView, Watch
from normbench.store import RunState, RunStore
from normbench.tables import duration, score

_REFRESH_SECONDS = 0.5
# Looking at very many runs takes a while; so seldom that it takes little of the time.
_LEAST_REST = 20.0
_ENDED = (RunState.FINISHED, RunState.DIVERGED)
_log = logging.getLogger("normbench.run")


@contextmanager
def watch(store: RunStore, fingerprints: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Yield a function that shows how far the runs are each time it is called."""
    watched = Watch(store, fingerprints)
    bars = _Bars() if sys.stderr.isatty() else None
    lines = _Lines()
    names: dict[str, RunName] = {}
    next_look = 0.0

    def tick() -> None:
        nonlocal next_look
        if time.monotonic() < next_look:
            return
        started = time.monotonic()
        views = watched.views()
        if not names:
            names.update(run_names(store, [view.run.spec for view in views]))
        spent = time.monotonic() - started
        next_look = started + max(_REFRESH_SECONDS, _LEAST_REST * spent)
        lines.show(views, names)
        if bars is not None:
            bars.show(views, names)

    try:
        yield tick
    finally:
        if bars is not None:
            bars.close()


class _Lines:
    """Logs each epoch and each outcome once."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[RunState, int]] = {}

    def show(self, views: Sequence[RunView], names: Mapping[str, RunName]) -> None:
        """Log what is new since the last look."""
        for view in views:
            key = view.run.fingerprint
            now = (view.state, view.epoch)
            if self._seen.get(key) == now:
                continue
            before = self._seen.get(key)
            self._seen[key] = now
            if before is not None or view.state is not RunState.PENDING:
                _log.info("%s: %s", names[key].full, _progress(view))


class _Bars:
    """A bar for all runs and one for each that trains."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        # Where the terminal is narrow, the end of the text is what goes.
        name = Column(no_wrap=True, min_width=7, overflow="ellipsis")
        bar = Column(min_width=10)
        rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=10, table_column=bar),
            TextColumn("{task.fields[text]}", markup=False, table_column=rest),
            console=Console(file=sys.stderr),
            transient=True,
            expand=True,
        )
        self._progress.start()
        self._tasks: dict[str, Any] = {}
        self._total = self._progress.add_task("runs", total=1.0, text="")

    def show(self, views: Sequence[RunView], names: Mapping[str, RunName]) -> None:
        """Redraw."""
        done = sum(view.state in _ENDED for view in views)
        share = sum(view.share for view in views) / len(views)
        text = f"{done} of {len(views)} done{_all_left(views)}"
        self._progress.update(self._total, completed=share, text=text)
        for view in views:
            self._show_run(view, names[view.run.fingerprint].brief)

    def close(self) -> None:
        """Take the bars away and give the cursor back."""
        for task in self._progress.task_ids:
            self._progress.update(task, visible=False)
        self._progress.refresh()
        self._progress.stop()

    def _show_run(self, view: RunView, name: str) -> None:
        key = view.run.fingerprint
        if view.state is not RunState.RUNNING:
            if key in self._tasks:
                self._progress.remove_task(self._tasks.pop(key))
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(name, total=1.0, text="")
        self._progress.update(self._tasks[key], completed=view.share, text=_progress(view))


def _all_left(views: Sequence[RunView]) -> str:
    """Return an estimate of the time until all runs are done, once there is one."""
    running = [view for view in views if view.state is RunState.RUNNING]
    known = [view for view in running if view.seconds_left is not None]
    if not known:
        return ""
    whole = [
        view.seconds_left / (1 - view.epoch / view.epochs) for view in known if view.seconds_left
    ]
    if not whole:
        return ""
    left = sum(1 - view.share for view in views if view.state not in _ENDED)
    return f", about {duration(left * sum(whole) / len(whole) / max(len(running), 1))} left"


def _progress(view: RunView) -> str:
    trained = f"{view.share * view.epochs:.1f}" if view.state is RunState.RUNNING else view.epoch
    words = [f"epoch {trained}/{view.epochs}"]
    if view.state is not RunState.RUNNING:
        words.append(view.state.value)
    elif view.seconds_left is not None:
        words.append(f"{duration(view.seconds_left)} left")
    point, speed = view.point, view.images_per_second
    loss = point.get("train", {}).get("loss")
    if loss is not None:
        words.append(f"train loss {loss:.4f}")
    for part in ("validation", "test"):
        accuracy = point.get(part, {}).get("accuracy")
        if accuracy is not None:
            words.append(f"{part} {score(accuracy, 'accuracy')}")
    if speed:
        words.append(f"{speed:,.0f} examples/s")
    return ", ".join(words)
