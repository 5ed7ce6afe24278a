"""One worker process: opens its device and plugins, then takes runs until none is left."""

from __future__ import annotations

import argparse
import logging
import os
import time

import torch

from normbench.engine.precision import configure
from normbench.engine.trainer import CHECKPOINT_SECONDS
from normbench.errors import UsageError
from normbench.garbage import uncollected
from normbench.launchers.gpu_book import GpuBookFile
from normbench.launchers.seating import GpuRoom, Needs
from normbench.launchers.signals import check_interrupted
from normbench.places import data_folder
from normbench.plugins import load_catalogue
from normbench.rungs import check_engine
from normbench.store import RunState, RunStore, store_path
from normbench.store.queue import Queue
from normbench.worker.choice import chosen_runs
from normbench.worker.command import FAILED, OUT_OF_TIME, UNABLE, UNCLEAN
from normbench.worker.limits import check_memory_limit
from normbench.worker.orphans import watch_parent
from normbench.worker.packing import Packing
from normbench.worker.reports import Reporter
from normbench.worker.training import LEASE_SECONDS, Worker, WorkerOptions

_log = logging.getLogger("normbench.worker")
_WAIT_SECONDS = 1.0
_GOOD = (RunState.FINISHED, RunState.DIVERGED, RunState.INTERRUPTED)


def work(options: argparse.Namespace) -> int:
    """Take runs until none is left that could be taken; return the exit code.

    0; 1 if some run ended badly. A launcher, which reads the outcomes, gets 0, 4 if runs are left
    for lack of time, and 5 if this process should be replaced.
    """
    if options.parent is not None:
        watch_parent(options.parent)
    reporter = Reporter(options.report)
    store = RunStore.open(store_path(options.store))
    queue = Queue(store, chosen_runs(store, options), since=options.since)
    with uncollected():
        worker = _open_worker(store, options, reporter)
    code = 0
    while True:
        check_interrupted()
        outcomes = worker.take(queue)
        for struck in queue.struck:
            reporter.tell("struck", run=struck)
            code = FAILED
        queue.struck.clear()
        if not outcomes and options.report is None and queue.waits_here:
            # A launcher starts another worker later; this one has none.
            time.sleep(_WAIT_SECONDS)
            continue
        if not outcomes:
            if queue.waits_here:
                reporter.tell("waits")
            break
        code = code if all(outcome in _GOOD for outcome in outcomes) else FAILED
        if worker.broken and options.report is None:
            _log.error("the GPU serves this process no longer; start the same command again")
            return UNABLE
        if worker.unclean and options.report is not None:
            return UNCLEAN
    if options.report is not None:
        return OUT_OF_TIME if queue.declined else 0
    return code


def _open_worker(store: RunStore, options: argparse.Namespace, reporter: Reporter) -> Worker:
    device = _device(options.device)
    check_engine(options.engine, device.type)
    # Imports most of what torch imports late, so that it is no part of the first run's time.
    configure("fp32", deterministic=True, device=device)
    catalogue = load_catalogue(options.plugin)
    check_memory_limit(options.memory_limit)
    treated = WorkerOptions(
        checkpoint_seconds=_given(options.checkpoint_seconds, CHECKPOINT_SECONDS),
        lease_seconds=_given(options.lease_seconds, LEASE_SECONDS),
        keep_weights=options.keep_weights,
        time_limit=options.time_limit,
        memory_limit=options.memory_limit,
        until=_until(options),
        shared=options.shared,
        engine=options.engine,
    )
    folder = data_folder(options.data_dir)
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    packing = Packing(options.pack, device, free=free, peers=options.peers)
    room = open_room(store, options, free)
    worker = Worker(store, catalogue, device, folder, treated, reporter, packing, room)
    seconds = None if options.started is None else time.monotonic() - options.started
    reporter.tell("ready", device_free=free, device_memory=total, start_seconds=seconds)
    return worker


def open_room(store: RunStore, options: argparse.Namespace, free: int) -> GpuRoom | None:
    """Return this worker's part of a GPU that others share; None if it has its device alone.

    Args:
        store: Where earlier runs are.
        options: The words of the command.
        free: Bytes of the GPU that are free now.
    """
    if options.gpu_book is None:
        return None
    file = GpuBookFile(options.gpu_book, sized=options.sized)
    room = GpuRoom(file, options.gpu, os.getpid(), Needs(store))
    room.saw_free(free)
    return room


def _device(words: str) -> torch.device:
    if words == "auto":
        words = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(words)
    except RuntimeError:
        raise UsageError(f"unknown device {words!r}: expected auto, cpu, cuda or cuda:N.") from None
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device


def _until(options: argparse.Namespace) -> float | None:
    """Return when this machine goes away, in Unix seconds."""
    if options.until is not None or options.wall_time is None:
        return options.until  # type: ignore[no-any-return]
    return time.time() + float(options.wall_time)


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
