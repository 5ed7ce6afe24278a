"""What is known of the GPUs that several workers share, and who trains on which.

The book is a file of the store for each machine, so it tells of all launches that use the store
there and let runs share a GPU; of other stores it knows nothing, nor of other containers.

A run is let in beside others if what it takes is known to fit: measured on a run of its row, in
this launch or before; or on runs of its kind in at least two settings that took about the same, so
that the setting does not matter. Any other run begins where it is alone, and lets others in once
its first evaluation is over and its memory measured. A run that lacked memory beside others has
its GPU to itself when it is trained again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from normbench.launchers.devices import visible_gpus
from normbench.launchers.packing import fits_beside
from normbench.pack_key import pack_key
from normbench.specs import RunSpec
from normbench.store import processes
from normbench.store.layout import machine_file
from normbench.store.locks import hold

_ALIKE = 1.1
_LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Kind:
    """What a run's memory depends on.

    Attributes:
        name: Of all runs whose steps are shaped alike; see :func:`normbench.pack_key.pack_key`.
        row: The run's row, in which nothing but seeds differ.
    """

    name: str
    row: str

    @classmethod
    def of(cls, spec: RunSpec) -> Self:
        """Return the kind of the run *spec*."""
        return cls(sha256(pack_key(spec).encode()).hexdigest()[:16], spec.row)


def gpu_name(device: str) -> str:
    """Return the GPU that a launcher calls *device*, as CUDA names it in all launches.

    A worker sees no GPU but its own.
    """
    names, number = visible_gpus(), device.partition(":")[2]
    if len(names) == 1:
        return names[0]
    return names[int(number)] if number.isdecimal() and int(number) < len(names) else device


@dataclass
class Guest:
    """A process that trains on a GPU, or is about to.

    Attributes:
        started: When the process started; empty while it is only thought of.
        boot: In which start of the machine, and in which of its containers.
        need: Bytes that its run takes at most; None if that is not known.
        alone: Whether its run must have the GPU to itself.
        beside: Whether others were there at some time since its run was let in.
    """

    started: str = ""
    boot: str = ""
    need: int | None = None
    alone: bool = False
    beside: bool = False


@dataclass
class _Gpu:
    free: int | None = None
    guests: dict[int, Guest] = field(default_factory=dict)


class GpuBook:
    """What is known at a moment.

    Args:
        sized: Whether runs are let in by their memory; else by the number of slots alone.
        content: As :meth:`content` returns it.
    """

    def __init__(self, *, sized: bool, content: Mapping[str, Any] | None = None) -> None:
        self._sized = sized
        written = content or {}
        self._peaks: dict[str, dict[str, int | None]] = dict(written.get("peaks", {}))
        self._gpus: dict[str, _Gpu] = {}
        for name, gpu in written.get("gpus", {}).items():
            guests = {int(pid): Guest(**guest) for pid, guest in gpu["guests"].items()}
            self._gpus[name] = _Gpu(gpu["free"], guests)

    def content(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {"peaks": self._peaks, "gpus": {k: asdict(gpu) for k, gpu in self._gpus.items()}}

    def begin(self) -> None:
        """Forget what was measured, unless somebody trains: it may be long ago."""
        self.clear_away()
        if not any(gpu.guests for gpu in self._gpus.values()):
            self._peaks, self._gpus = {}, {}

    def clear_away(self) -> None:
        """Forget the guests whose processes are dead."""
        for gpu in self._gpus.values():
            _living(gpu)

    def need(self, kind: Kind, measured: int | None = None) -> int | None:
        """Return the bytes that a run takes at most; None if that is not known.

        Args:
            kind: Of the run.
            measured: Bytes that an earlier run of the row took.
        """
        settings = self._peaks.get(kind.name, {})
        if kind.row in settings:
            return settings[kind.row]
        if measured is not None:
            return measured
        peaks = [peak for peak in settings.values() if peak is not None]
        agree = len(peaks) == len(settings) > 1 and max(peaks) <= min(peaks) * _ALIKE
        return max(peaks) if agree else None

    def admit(self, gpu: str, pid: int, need: int | None, *, alone: bool = False) -> bool:
        """Let the process *pid* train a run on *gpu* if there is room; whether there is.

        Args:
            gpu: The GPU, as :func:`gpu_name` returns it.
            pid: Number of the process; negative for one that is only thought of.
            need: Bytes that the run takes at most; None if that is not known.
            alone: Whether it must have the GPU to itself.
        """
        there, others = self._others(gpu, pid)
        if any(guest.alone for guest in others) or (alone and others):
            return False
        if self._sized and others and not _fits(there.free, others, need):
            return False
        for guest in others:
            guest.beside = True
        started, boot = (processes.started(pid), processes.boot()) if pid > 0 else ("", "")
        there.guests[pid] = Guest(started, boot, need, alone, beside=bool(others))
        return True

    def saw_free(self, gpu: str, pid: int, free: int) -> None:
        """Take note of the bytes that a process found free before it trained, if it was alone."""
        there, others = self._others(gpu, pid)
        if there.free is None and free > 0 and not others:
            there.free = free

    def saw_peak(self, gpu: str, pid: int, kind: Kind, peak: int) -> None:
        """Take note of the bytes that the run of process *pid* took so far."""
        settings = self._peaks.setdefault(kind.name, {})
        settings[kind.row] = max(peak, settings.get(kind.row) or 0)
        guest = self._gpus.setdefault(gpu, _Gpu()).guests.get(pid)
        if guest is not None:
            guest.need = max(peak, guest.need or 0)

    def lacked(self, kind: Kind) -> None:
        """Take note that a run lacked memory beside others: of its row nothing is known."""
        self._peaks.setdefault(kind.name, {})[kind.row] = None

    def is_alone(self, gpu: str, pid: int) -> bool:
        """Whether the run of process *pid* had the GPU to itself all the time."""
        guest = self._gpus.setdefault(gpu, _Gpu()).guests.get(pid)
        return guest is not None and not guest.beside

    def leave(self, gpu: str, pid: int) -> None:
        """Forget the process *pid*."""
        self._gpus.setdefault(gpu, _Gpu()).guests.pop(pid, None)

    def _others(self, gpu: str, pid: int) -> tuple[_Gpu, list[Guest]]:
        """Return what is known of *gpu*, and its living guests but for the process *pid*."""
        there = self._gpus.setdefault(gpu, _Gpu())
        return there, [guest for other, guest in _living(there).items() if other != pid]


def _living(gpu: _Gpu) -> dict[int, Guest]:
    gpu.guests = {pid: guest for pid, guest in gpu.guests.items() if not _is_gone(pid, guest)}
    return gpu.guests


def _fits(free: int | None, others: list[Guest], need: int | None) -> bool:
    inside = [guest.need for guest in others if guest.need is not None]
    return need is not None and len(inside) == len(others) and fits_beside(free, inside, need)


def _is_gone(pid: int, guest: Guest) -> bool:
    if pid < 0:
        return False
    return guest.boot != processes.boot() or processes.is_dead(pid, guest.started)


class GpuBookFile:
    """The book of a store and a machine, in a file that drivers and workers share.

    Args:
        path: The file.
        sized: Whether runs are let in by their memory.
    """

    def __init__(self, path: Path, *, sized: bool) -> None:
        self.path, self.sized = path, sized

    @classmethod
    def of(cls, store: Path, *, sized: bool) -> Self:
        """Return that of the store in the folder *store* and this machine."""
        return cls(machine_file(store, "gpus", ".json"), sized=sized)

    def read(self) -> GpuBook:
        """Return what is written there, to think with."""
        # What another version wrote, or a full disk cut short, is as good as nothing.
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return GpuBook(sized=self.sized, content=content)
        return GpuBook(sized=self.sized)

    @contextmanager
    def changed(self) -> Iterator[GpuBook]:
        """Yield what is written there, and write what becomes of it.

        A book that cannot be written, for instance on a full disk, or whose lock a stopped process
        keeps, lets in too many at worst: who lacks memory then is trained again alone.

        Raises:
            StoreError: If the file system cannot lock.
        """
        with hold(self.path.with_suffix(".lock"), _LOCK_SECONDS):
            book = self.read()
            yield book
            part = self.path.with_suffix(".part")
            with suppress(OSError):
                part.write_text(json.dumps(book.content()), encoding="utf-8")
                part.replace(self.path)
