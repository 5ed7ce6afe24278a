"""How a worker closes an attempt, and what is asked of it before."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import torch
from torch import nn

from normbench.engine import checkpoint
from normbench.errors import StoreError
from normbench.store import Attempt, RunState

_log = logging.getLogger("normbench.worker")


def spent(attempt: Attempt) -> float:
    """Return the seconds up to the checkpoint that *attempt* goes on from."""
    last = attempt.points[-1] if attempt.points else {}
    return float(last.get("train_seconds", 0.0)) + float(last.get("evaluation_seconds", 0.0))


def in_a_line(error: Exception) -> str:
    """Return the kind of *error* and the first line of what it says; the traceback has the rest."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def keep_weights(network: nn.Module, path: Path) -> None:
    """Write the final weights to *path*.

    Raises:
        StoreError: If they cannot be written.
    """
    try:
        checkpoint.write(path, network.state_dict())
    except OSError as error:
        raise StoreError(
            f"the final weights could not be written to {path}: {error.strerror}. Make room, or "
            "leave out --keep-weights, and give the same command again."
        ) from error


def close(
    attempt: Attempt, outcome: RunState, message: str, *, trace: bool = True
) -> tuple[RunState, str]:
    """Close *attempt* as *outcome*; return that and the message."""
    _log.error("%s: %s", outcome, message)
    attempt.close(outcome, message, traceback.format_exc() if trace else "")
    return outcome, message


def is_device_error(error: BaseException) -> bool:
    """Whether *error* says that the GPU serves this process no longer."""
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
