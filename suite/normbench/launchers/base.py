"""What a launcher is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Slots = int | Literal["auto"] | None
Pack = int | Literal["auto", "off"]


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """Runs to get trained.

    Attributes:
        store: Folder of the run store.
        fingerprints: The runs, in the order to take them.
        drain: Whether to take whatever is pending in the store; *fingerprints* is empty then. Runs
            that ended badly are taken only by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: Runs trained at once on the processor or on each GPU; None for one on each core or
            GPU, ``auto`` for as many on each GPU as its memory allows.
        pack: Runs of one kind that a worker on a GPU trains as branches of one graph; ``auto`` for
            as many as its memory allows once the first of a kind has shown how much it takes,
            unless several *slots* share the GPU.
        engine: How steps are carried out; see :mod:`normbench.rungs`.
        data_folder: Where the data files are.
        plugin_files: One-off plugin files that workers must load.
        keep_weights: Whether final weights are kept.
        checkpoint_seconds: Least time between checkpoints; None for the worker's default.
        time_limit: Seconds that a run may take, those up to the checkpoint it goes on from
            included; beyond them it ends as ``timed_out`` and keeps its checkpoint.
        memory_limit: Bytes of the machine's memory that a worker and all it starts may hold; beyond
            them its run ends as ``out_of_memory``.
        wall_time: Seconds from now after which the machine goes away: runs that would not end
            before it are not begun, and what still trains then is stopped at its checkpoint.
        options: Words for this launcher alone, such as ``partition`` for ``slurm``.
    """

    store: Path
    fingerprints: tuple[str, ...] = ()
    drain: bool = False
    device: str = "auto"
    slots: Slots = None
    pack: Pack = "auto"
    engine: str = "auto"
    data_folder: Path
    plugin_files: tuple[Path, ...] = ()
    keep_weights: bool = False
    checkpoint_seconds: float | None = None
    time_limit: float | None = None
    memory_limit: int | None = None
    wall_time: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class Launch(Protocol):
    """A launcher at work.

    It may have three more methods. ``check(options: Mapping[str, str]) -> None`` raises
    :class:`normbench.errors.UsageError` if it could not launch with these words; it is called
    before anything is written. ``detaches(options) -> bool`` says whether a call with these words
    returns before the runs are trained; MLflow is not fed during it.
    ``cancel(launch: LaunchFolder) -> None`` ends what a launch by this launcher has started, from
    whatever process it is called, and leaves its runs at their last checkpoints; without it, the
    driver of the launch gets SIGTERM.
    """

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> str | None:
        """Get the runs trained; return when none is left that could still end.

        Returns:
            How to go on, if the launcher was told to return while runs are still to be trained;
            else None.

        Args:
            request: What to train.
            tick: To be called a few times a second while waiting.

        Raises:
            KeyboardInterrupt: After the workers were stopped, when the user interrupts; with a
                message, if there is more to say than how to resume.
        """
        ...
