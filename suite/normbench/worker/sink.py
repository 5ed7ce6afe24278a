"""Where the engine's output goes: into one attempt of a run, which also says when to end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from normbench.engine import trainer
from normbench.launchers.signals import check_interrupted
from normbench.store import Attempt
from normbench.worker.limits import TimeLimit

PROGRESS_FILE = "progress.json"


class AttemptSink:
    """Writes what the engine reports into one attempt, and ends the training when it has to end.

    Args:
        attempt: The attempt.
        limit: The time that it has.
        epochs: Epochs of the run; after the last one nothing ends it.
        device: Whose memory is reported.
        got_on: Called after each evaluation of what was trained.
        kept: Called after each checkpoint.
    """

    def __init__(
        self,
        attempt: Attempt,
        limit: TimeLimit,
        epochs: int,
        device: torch.device,
        *,
        got_on: Callable[[], None] | None = None,
        kept: Callable[[], None] | None = None,
    ) -> None:
        self._attempt, self._limit, self._epochs = attempt, limit, epochs
        self._device, self._got_on, self._kept = device, got_on, kept

    def point(self, point: Mapping[str, Any]) -> None:
        """Append a curve point to the journal."""
        self._attempt.append(point)
        if point["epoch"] and self._got_on is not None:
            self._got_on()
        if point["epoch"] < self._epochs:
            self._check()

    def progress(self, epoch: int, step: int, steps: int) -> None:
        """Say how far the epoch is, for whoever watches."""
        self._check()
        content = {"epoch": epoch, "step": step, "steps": steps}
        content["peak_memory"] = peak_memory(self._device)
        path = self._attempt.path / PROGRESS_FILE
        part = path.with_suffix(".part")
        # Only a display reads this: a full disk must not end the run over it.
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(content))
            part.replace(path)

    def checkpoint(self, write: Callable[[Path], None], epoch: int) -> None:
        """Replace the checkpoint."""
        self._attempt.save_checkpoint(write, epoch=epoch)
        if self._kept is not None:
            self._kept()

    def _check(self) -> None:
        check_interrupted()
        self._attempt.check()
        self._limit.check(self._attempt.checkpoint_epoch)


def forget_memory(device: torch.device) -> None:
    """Give the GPU back what earlier runs of this process left, and measure the peak anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process held so far: of the GPU if it trains on one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return trainer.peak_memory(device)
