"""``normbench worker --drain``: a local launcher that takes whatever is left in a store.

It needs neither torch nor click, and knows nothing of the scheduler that started it. Any number of
them, on any number of machines, share one store.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import DRAIN, LAUNCHES_FOLDER, LaunchFolder
from normbench.launchers.local import Scheduler
from normbench.places import data_folder
from normbench.store import RunStore, store_path
from normbench.store.untaken import untaken_studies
from normbench.worker.choice import chosen_runs
from normbench.worker.command import FAILED
from normbench.worker.orphans import watch_parent

_log = logging.getLogger("normbench.worker")


def drain(options: argparse.Namespace) -> int:
    """Train until nothing is left that could be taken; return 0, or 1 if a run ended badly.

    Raises:
        NormbenchError: If no worker can go on.
        KeyboardInterrupt: After the workers were stopped.
    """
    if options.parent is not None:
        watch_parent(options.parent)
    store = RunStore.open(store_path(options.store))
    runs = chosen_runs(store, options)
    request = LaunchRequest(
        store=store.root.absolute(),
        fingerprints=tuple(runs or ()),
        drain=runs is None,
        device=options.device,
        slots=options.slots,
        pack=options.pack,
        engine=options.engine,
        data_folder=data_folder(options.data_dir).absolute(),
        plugin_files=tuple(file.absolute() for file in options.plugin),
        keep_weights=options.keep_weights,
        checkpoint_seconds=options.checkpoint_seconds,
        time_limit=options.time_limit,
        memory_limit=options.memory_limit,
        wall_time=options.wall_time,
    )
    folder = LaunchFolder.create(DRAIN, request)
    since = options.since if options.since is not None else _since(options.runs_file)
    scheduler = Scheduler(
        request, folder, _nothing, wait=False, since=since, log_level=logging.INFO
    )
    try:
        scheduler.run()
    finally:
        counts = [f"{count} {state}" for state, count in sorted(scheduler.tally.outcomes.items())]
        _log.info("runs: %s", ", ".join(counts) or "none to take")
    for sentence in untaken_studies(store, scheduler.tally.runs):
        _log.warning("%s", sentence)
    return FAILED if scheduler.tally.failed else 0


def _since(runs_file: Path | None) -> float | None:
    """Return when the launch began whose list of runs this is; None if it is of none."""
    if runs_file is None or runs_file.absolute().parent.parent.name != LAUNCHES_FOLDER:
        return None
    return LaunchFolder(runs_file.absolute().parent).info().get("since")


def _nothing() -> None:
    """Show nothing: the log says what happens."""
