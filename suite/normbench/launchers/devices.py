"""The slots of a machine: on which device each of the runs trained at once is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from normbench.errors import UsageError
from normbench.launchers.base import Pack, Slots


def devices(device: str, slots: Slots) -> list[str]:
    """Return the device of each slot that a launcher begins with, the devices in turn.

    Args:
        device: ``auto`` is every GPU if there is one, else the processor; ``cuda`` every GPU.
        slots: Slots on the processor or on each GPU; None for one on each core or GPU. ``auto``
            begins with one on each GPU, and is one on each core of the processor.

    Raises:
        UsageError: If there is no such device.
    """
    count = None if slots == "auto" else slots
    gpus = visible_gpus()
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cpu":
        return ["cpu"] * (count or len(cores()))
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdecimal()):
        raise UsageError(f"unknown device {device!r}: expected auto, cpu, cuda or cuda:N.")
    chosen = [int(number)] if number else list(range(len(gpus)))
    if not chosen or max(chosen) >= len(gpus):
        raise UsageError(f"--device {device}: this machine has {len(gpus)} GPUs. Use --device cpu.")
    return [f"cuda:{gpu}" for _ in range(count or 1) for gpu in chosen]


def parse_slots(text: str) -> Slots:
    """Return the slots that *text* means: a whole number from 1, or ``auto``.

    Raises:
        UsageError: If it is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{text!r} slots: give a whole number from 1, or auto.")
    return int(text)


def parse_pack(text: str) -> Pack:
    """Return the size of packs that *text* means: a whole number from 1, ``auto`` or ``off``.

    Raises:
        UsageError: If it is none of these.
    """
    if text in ("auto", "off"):
        return "auto" if text == "auto" else "off"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--pack {text}: give a whole number from 1, auto or off.")
    return int(text)


def check_pack(pack: Pack, slots: Slots, device: str) -> None:
    """Refuse packs that *device* cannot have, or that share it with others.

    Raises:
        UsageError: With the fix.
    """
    if not isinstance(pack, int) or pack == 1:
        return
    if device == "cpu":
        raise UsageError(
            f"--pack {pack}: the runs of a pack are branches of one CUDA graph, but these are to "
            "train on the processor, one run a process and one thread each. Leave --pack out, or "
            "give --device cuda on a machine with a GPU."
        )
    if slots not in (None, 1):
        raise UsageError(
            f"--pack {pack} and --slots {slots}: both let runs share a GPU. Give one of them; "
            "--pack trains runs of one kind faster, --slots any."
        )


def visible_gpus() -> Sequence[str]:
    """Return the GPUs that this process may see, as CUDA names them, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [part.strip() for part in visible.split(",")]
        return [name for name in names if name not in ("", "-1")]
    there = Path("/proc/driver/nvidia/gpus").glob("*")
    return [str(number) for number, _ in enumerate(there)]


def cores() -> set[int]:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
