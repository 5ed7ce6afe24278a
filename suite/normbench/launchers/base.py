"""What a launcher is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """Runs to get trained.

    Attributes:
        store: Folder of the run store.
        fingerprints: The runs, in the order to take them.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: Runs trained at once; None for one on each core or GPU.
        data_folder: Where the data files are.
        plugin_files: One-off plugin files that workers must load.
        keep_weights: Whether final weights are kept.
        checkpoint_seconds: Least time between checkpoints; None for the worker's default.
    """

    store: Path
    fingerprints: tuple[str, ...]
    device: str = "auto"
    slots: int | None = None
    data_folder: Path
    plugin_files: tuple[Path, ...] = ()
    keep_weights: bool = False
    checkpoint_seconds: float | None = None


class Launch(Protocol):
    """A launcher at work."""

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> None:
        """Get the runs trained; return when none is left that could still end.

        Args:
            request: What to train.
            tick: To be called a few times a second while waiting.

        Raises:
            KeyboardInterrupt: After the workers were stopped, when the user interrupts.
        """
        ...
