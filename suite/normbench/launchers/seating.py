"""Which of the free slots of a machine the next workers get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normbench.launchers.gpu_book import GpuBook, GpuBookFile, Kind, gpu_name
from normbench.store import RunStore, StoredRun
from normbench.worker.predictions import Predictor


@dataclass(frozen=True)
class Seat:
    """Where a worker is to train.

    Attributes:
        device: Its device.
        need: Bytes of the device that its first run takes at most; None if that is not known.
        alone: Whether that run must have the device to itself.
    """

    device: str
    need: int | None = None
    alone: bool = False


class Seating:
    """The free slots at a moment, the devices in turn: those with the fewest workers come first.

    Args:
        slots: How many workers each device may have.
        busy: The device of each worker that there is.
        book: What is known of GPUs that several runs share; None if none does.
        needs: Tells what a run takes.
        coming: How many of the workers that there are will take the first runs.

    Attributes:
        chosen: The seats that were given.
        refused: Whether a run got none though slots were free.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        busy: Iterable[str],
        book: GpuBook | None,
        needs: Needs,
        coming: int = 0,
    ) -> None:
        self._slots, self._busy = slots, Counter(busy)
        self.coming = coming
        self._book, self._needs = book, needs
        self._full: set[tuple[str, str, bool]] = set()
        self.chosen: list[Seat] = []
        self.refused = False

    @property
    def free(self) -> int:
        """Number of free slots."""
        return sum(max(0, most - self._busy[device]) for device, most in self._slots.items())

    def seat(self, run: StoredRun, alone: bool) -> bool:
        """Give *run* a slot if there is one with room for it; whether there is."""
        if self.coming:
            self.coming -= 1
            return True
        free = [device for device, most in self._slots.items() if self._busy[device] < most]
        for device in sorted(free, key=self._busy.__getitem__):
            if (seat := self._seat_on(device, run, alone)) is not None:
                self._busy[device] += 1
                self.chosen.append(seat)
                return True
        self.refused = self.refused or bool(free)
        return False

    def _seat_on(self, device: str, run: StoredRun, alone: bool) -> Seat | None:
        if self._book is None:
            return Seat(device)
        # A device only becomes fuller meanwhile, and the runs of a row take the same.
        row = self._needs.kind(run).row
        if (device, row, alone) in self._full:
            return None
        need = self._needs.of(self._book, run)
        stranger = -1 - len(self.chosen)
        if self._book.admit(gpu_name(device), stranger, need, alone=alone):
            return Seat(device, need, alone)
        self._full.add((device, row, alone))
        return None


class Needs:
    """What runs take of a GPU's memory, as far as it was measured in this launch or before.

    Args:
        store: Where earlier runs are.
    """

    def __init__(self, store: RunStore) -> None:
        self._predictor = Predictor(store)
        self._kinds: dict[str, Kind] = {}

    def kind(self, run: StoredRun) -> Kind:
        """Return the kind of *run*, which is looked up once."""
        if run.fingerprint not in self._kinds:
            self._kinds[run.fingerprint] = Kind.of(run.spec)
        return self._kinds[run.fingerprint]

    def of(self, book: GpuBook, run: StoredRun) -> int | None:
        """Return the bytes that *run* takes at most; None if that is not known."""
        kind = self.kind(run)
        return book.need(kind, self._predictor.peak_memory(kind.row))


class GpuRoom:
    """What a worker says and hears of the GPU that it shares.

    Args:
        file: The book.
        gpu: The GPU, as the launcher names it.
        pid: Number of the worker.
        needs: Tells what a run takes.
    """

    def __init__(self, file: GpuBookFile, gpu: str, pid: int, needs: Needs) -> None:
        self._file, self._gpu, self._pid, self._needs = file, gpu_name(gpu), pid, needs

    def enter(self, run: StoredRun, alone: bool) -> bool:
        """Come to train *run* if there is room for it; whether there is."""
        with self._file.changed() as book:
            return book.admit(self._gpu, self._pid, self._needs.of(book, run), alone=alone)

    def leave(self) -> None:
        """Train nothing more."""
        with self._file.changed() as book:
            book.leave(self._gpu, self._pid)

    def saw_free(self, free: int) -> None:
        """Take note of the bytes that were free before this worker trained."""
        with self._file.changed() as book:
            book.saw_free(self._gpu, self._pid, free)

    def saw_peak(self, run: StoredRun, peak: int) -> None:
        """Take note of the bytes that *run* took so far, its first evaluation over."""
        with self._file.changed() as book:
            book.saw_peak(self._gpu, self._pid, self._needs.kind(run), peak)

    def lacked(self, run: StoredRun) -> bool:
        """Take note that *run* lacked memory; return whether others were there to share it."""
        with self._file.changed() as book:
            if book.is_alone(self._gpu, self._pid):
                return False
            book.lacked(self._needs.kind(run))
            return True
