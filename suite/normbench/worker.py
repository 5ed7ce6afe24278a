"""A worker: takes runs of a store one after another and trains them. Needs torch, numpy, pluggy.

``python -m normbench.worker --store DIR [FINGERPRINT...]`` trains the runs named, or all that are
pending, and skips those that another worker holds. Specs come resolved from the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from normbench.data import data_folder
from normbench.engine import checkpoint
from normbench.engine.session import open_session
from normbench.engine.trainer import CHECKPOINT_SECONDS, Trainer
from normbench.environment import environment
from normbench.errors import LeaseLostError, NormbenchError, StoreError
from normbench.observation import open_observing, publish_series
from normbench.plugins import Catalogue, load_catalogue
from normbench.store import Attempt, RunState, RunStore, StoredRun, store_path

PROGRESS_FILE = "progress.json"
LEASE_SECONDS = 60.0
UNABLE = 3
_log = logging.getLogger("normbench.worker")


class AttemptSink:
    """Writes what the engine reports into one attempt."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def point(self, point: Mapping[str, Any]) -> None:
        """Append a curve point to the journal."""
        self._attempt.append(point)

    def progress(self, epoch: int, step: int, steps: int) -> None:
        """Say how far the epoch is, for whoever watches."""
        self._attempt.check()
        path = self._attempt.path / PROGRESS_FILE
        part = path.with_suffix(".part")
        # Only a display reads this: a full disk must not end the run over it.
        with contextlib.suppress(OSError):
            part.write_text(json.dumps({"epoch": epoch, "step": step, "steps": steps}))
            part.replace(path)

    def checkpoint(self, write: Callable[[Path], None], epoch: int) -> None:
        """Replace the checkpoint."""
        self._attempt.save_checkpoint(write, epoch=epoch)


class Worker:
    """Trains runs of one store on one device.

    Args:
        store: Where specs come from and results go.
        catalogue: Knows the components that specs name.
        device: Where to train.
        folder: Data folder.
        checkpoint_seconds: Least time between checkpoints.
        lease_seconds: A run whose worker has not stirred for so long may be taken over.
        keep_weights: Whether the final weights stay beside the result.
    """

    def __init__(
        self,
        store: RunStore,
        catalogue: Catalogue,
        device: torch.device,
        folder: Path,
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        keep_weights: bool = False,
    ) -> None:
        self._store, self._catalogue = store, catalogue
        self._device, self._folder = device, folder
        self._checkpoint_seconds = checkpoint_seconds
        self._lease_seconds = lease_seconds
        self._keep_weights = keep_weights
        self._environment = environment(device, catalogue)

    def train(self, run: StoredRun) -> RunState | None:
        """Train *run* unless it is done or held elsewhere (then None); return its outcome.

        A run that has its result and lacks series that were asked for is trained again for them.
        """
        outcome = self._try(run)
        if run.lacking():
            outcome = self._try(run, for_series=True) or outcome
        return outcome

    def _try(self, run: StoredRun, *, for_series: bool = False) -> RunState | None:
        attempt = run.claim(
            self._environment, lease_seconds=self._lease_seconds, for_series=for_series
        )
        if attempt is None:
            return None
        with attempt:
            try:
                return self._attempt(run, attempt)
            except LeaseLostError as lost:
                _log.warning("%s", lost)
                return None
            except StoreError:
                raise
            except (MemoryError, torch.OutOfMemoryError) as error:
                return _close(attempt, RunState.OUT_OF_MEMORY, str(error) or "out of memory")
            except NormbenchError as error:
                return _close(attempt, RunState.FAILED, str(error))
            except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
                return _close(attempt, RunState.FAILED, f"{type(error).__name__}: {error}")
            except (KeyboardInterrupt, SystemExit):
                attempt.close(RunState.INTERRUPTED, "stopped by a signal")
                raise

    def _attempt(self, run: StoredRun, attempt: Attempt) -> RunState:
        _log.info("%s: attempt %d", run.fingerprint[:8], attempt.number)
        session = open_session(run.spec, self._catalogue, self._folder, self._device)
        observing = open_observing(run, attempt, session, self._catalogue)
        trainer = Trainer(
            session,
            AttemptSink(attempt),
            checkpoint_seconds=self._checkpoint_seconds,
            observing=observing,
        )
        result = trainer.run(attempt.checkpoint, attempt.points)
        publish_series(run, attempt, observing.watches, result)
        if attempt.for_series:
            attempt.close(RunState(result["outcome"]), "trained again for its series")
            return RunState(result["outcome"])
        if self._keep_weights:
            _keep(trainer.network, attempt.path / "weights.pt")
        attempt.publish({**result, "attempt": attempt.number})
        _log.info("%s: %s, score %s", run.fingerprint[:8], result["outcome"], result["score"])
        return RunState(result["outcome"])


def _keep(network: nn.Module, path: Path) -> None:
    try:
        checkpoint.write(path, network.state_dict())
    except OSError as error:
        raise StoreError(
            f"the final weights could not be written to {path}: {error.strerror}. Make room, or "
            "leave out --keep-weights; the run goes on from its last checkpoint."
        ) from error


def _close(attempt: Attempt, outcome: RunState, message: str) -> RunState:
    _log.error("%s: %s", outcome, message)
    attempt.close(outcome, message, traceback.format_exc())
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker from the command line.

    Returns:
        0; 1 if some run failed; 3 if the worker cannot go on; 130 if it was stopped.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _work(options)
    except NormbenchError as error:
        _log.error("%s", error)
        return UNABLE
    except KeyboardInterrupt:
        return 130


def _work(options: argparse.Namespace) -> int:
    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    store = RunStore.open(store_path(options.store))
    catalogue = load_catalogue(options.plugin)
    worker = Worker(
        store,
        catalogue,
        device,
        data_folder(options.data_dir),
        checkpoint_seconds=options.checkpoint_seconds,
        lease_seconds=options.lease_seconds,
        keep_weights=options.keep_weights,
    )
    outcomes = [worker.train(run) for run in _chosen(store, options.fingerprints)]
    good = (None, RunState.FINISHED, RunState.DIVERGED)
    return 0 if all(outcome in good for outcome in outcomes) else 1


def _chosen(store: RunStore, fingerprints: Sequence[str]) -> Iterator[StoredRun]:
    if not fingerprints:
        yield from store.runs()
    for fingerprint in fingerprints:
        run = store.get(fingerprint)
        if run is None:
            raise StoreError(f"run {fingerprint} is not in store {store.root}. Add it first.")
        yield run


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal's own
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m normbench.worker", description=__doc__)
    parser.add_argument("fingerprints", nargs="*", help="runs to train; all pending if none")
    parser.add_argument("--store", type=Path, help="the run store")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data-dir", type=Path, help="folder with the data files")
    parser.add_argument("--plugin", type=Path, action="append", default=[], help="plugin file")
    parser.add_argument("--checkpoint-seconds", type=float, default=CHECKPOINT_SECONDS)
    parser.add_argument("--lease-seconds", type=float, default=LEASE_SECONDS)
    parser.add_argument("--keep-weights", action="store_true")
    parser.add_argument("--log-level", default="INFO")
    return parser


if __name__ == "__main__":
    # One thread a run, also in libraries that read this only when they load.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
