"""Checkpoints: all that the next epoch depends on, and the hash that proves a resume exact.

Order, augmentation and dropout of an epoch are keyed by (seed, epoch), so a checkpoint at an
epoch's end needs no random state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from normbench.engine.session import Session
from normbench.errors import StoreError

if TYPE_CHECKING:
    from normbench.engine.observing import Observing

CHECKPOINT_SCHEMA = 1


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: Epochs trained.
        train_seconds: Seconds spent in training steps.
        evaluation_seconds: Seconds spent in evaluation.
        gradient_evaluations: Backward passes.
        best: The curve point that is best on validation so far.
        target_epoch: First epoch whose metric reached the target.
        target_seconds: Training seconds until then.
        engine_seconds: Seconds spent on trial steps, on recording and on compiling.
        engine: The rung of the first attempt, which all later ones keep; empty as long as no
            step could be tried on another than the plain one.
        energy_joules: Energy of the GPU, read when the epoch was; None where it is not counted.
    """

    epoch: int = 0
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    gradient_evaluations: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    target_epoch: int | None = None
    target_seconds: float | None = None
    engine_seconds: float = 0.0
    engine: str = "eager"
    energy_joules: float | None = None


def save(path: Path, session: Session, progress: Progress, observing: Observing) -> None:
    """Write network, optimizer, progress and what observers remember to *path*."""
    write(path, content(session, states(session), progress, observing))


def states(session: Session) -> dict[str, Any]:
    """Return the states of network and optimizer."""
    return {
        "network": session.network.state_dict(),
        "optimizer": session.optimizer.state_dict(),
    }


def content(
    session: Session, states: Mapping[str, Any], progress: Progress, observing: Observing
) -> dict[str, Any]:
    """Return what a checkpoint holds: *states*, and what goes with them."""
    return {
        "schema": CHECKPOINT_SCHEMA,
        "fingerprint": session.spec.fingerprint,
        **states,
        "progress": asdict(progress),
        "observers": observing.states(),
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Save *content* to *path*.

    Raises:
        OSError: If the disk is full or cannot be written; torch's own writer hides the reason.
    """
    with path.open("wb") as stream:
        torch.save(content, stream)


def restore(path: Path, session: Session, observing: Observing) -> Progress:
    """Load what :func:`save` wrote into *session* and *observing*, and return the progress.

    Raises:
        StoreError: If the checkpoint belongs to another run.
        UsageError: If the rung that the run began on cannot be had here.
    """
    content: Mapping[str, Any] = torch.load(path, map_location=session.device, weights_only=True)
    if content["fingerprint"] != session.spec.fingerprint:
        raise StoreError(
            f"checkpoint {path} belongs to run {content['fingerprint']}, not to "
            f"{session.spec.fingerprint}. Delete it; the run then starts over."
        )
    session.network.load_state_dict(content["network"])
    session.optimizer.load_state_dict(content["optimizer"])
    return_counts(session.optimizer)
    observing.load_states(content.get("observers", {}))
    progress = Progress(**content["progress"])
    session.loop.gradient_evaluations = progress.gradient_evaluations
    if progress.engine:
        session.loop.keep(progress.engine)
    return progress


def return_counts(optimizer: torch.optim.Optimizer) -> None:
    """Put the step counts that torch's optimizers keep on the host back there.

    Those that are neither fused nor capturable read them in each step, and to load a state leaves
    counts on the device that they came on: each step would then wait for it.
    """
    for group in optimizer.param_groups:
        flags = [group[name] for name in ("fused", "capturable") if name in group]
        if not flags or any(flags):
            continue
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if isinstance(state.get("step"), torch.Tensor):
                state["step"] = state["step"].cpu()


def weights_hash(network: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, by name, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
