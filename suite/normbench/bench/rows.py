"""Which rows a device can have, and why it cannot have the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normbench.bench.contender import Contender
from normbench.bench.engine_row import EngineRow, engine_name
from normbench.bench.material import Material
from normbench.bench.pack_row import RUNS, PackRow, pack_name
from normbench.bench.timing import can_time_processes
from normbench.bench.tuned import loader_workers
from normbench.bench.yardsticks import DEEPOBS, WITHOUT_LOADER, DeepobsRow, TunedRow, tuned_name
from normbench.engine.recording import RECORDERS
from normbench.errors import UsageError, unknown_name
from normbench.rungs import Rung

RUNG_OF = {"eager": Rung.EAGER, "graph": Rung.GRAPH, "compile": Rung.COMPILE}
ROWS = ("deepobs", "no_loader", "tuned", *RUNG_OF, "pack")
_NO_GPU = "a CUDA graph needs an NVIDIA GPU, and this was measured on the processor"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for.

    Attributes:
        rows: Of :data:`ROWS`, in their order.
        workers: Loader processes of the tuned loop, at most.
        runs: Of the pack.
        deterministic: What the engine's rows are measured with, the main one first.
    """

    rows: Sequence[str] = ROWS
    workers: int
    runs: int = RUNS
    deterministic: Sequence[bool]


def rows_named(text: str) -> list[str]:
    """Return the rows that *text*, names with commas between them, asks for, in their order.

    Raises:
        UsageError: If there is no such row.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in ROWS:
            raise unknown_name("row", name, ROWS)
    if not names:
        raise UsageError(f"--rows {text!r} names none: expected some of {', '.join(ROWS)}.")
    return [name for name in ROWS if name in names]


def first_name(wanted: Wanted) -> str:
    """Return the name of the row that ratios are over."""
    return _names(wanted, wanted.rows[0])[0]


def _names(wanted: Wanted, row: str) -> list[str]:
    """Return the names of the rows that *row* asks for, one for each mode of the engine's."""
    modes, said = wanted.deterministic, len(wanted.deterministic) > 1
    if row in RUNG_OF:
        return [engine_name(RUNG_OF[row], deterministic=mode, said=said) for mode in modes]
    if row == "pack":
        return [pack_name(wanted.runs, deterministic=mode, said=said) for mode in modes]
    yardsticks = {"deepobs": DEEPOBS, "no_loader": WITHOUT_LOADER}
    return [yardsticks.get(row) or tuned_name(loader_workers(wanted.workers))]


class Lineup:
    """The rows of one call, each made when it is first needed.

    Args:
        material: What they train with.
        wanted: What was asked for.

    Attributes:
        contenders: Those that are measured.
        left_out: The others, by name, and why.
    """

    def __init__(self, material: Material, wanted: Wanted) -> None:
        self.contenders: list[Contender] = []
        self.left_out: dict[str, str] = {}
        self._material, self._wanted = material, wanted
        for row in wanted.rows:
            if row in RUNG_OF or row == "pack":
                for name, mode in zip(_names(wanted, row), wanted.deterministic, strict=True):
                    self._add_engine(row, name, deterministic=mode)
            elif row == "tuned":
                self._add_tuned(loader_workers(wanted.workers))
            else:
                self.contenders.append(DeepobsRow(material, with_loader=row == "deepobs"))

    def drop_fallen(self) -> None:
        """Let the engine's rows take steps, and leave out those that do not hold."""
        for row in [each for each in self.contenders if isinstance(each, EngineRow | PackRow)]:
            row.prepare()
            # The ladder is climbed in the second step of a run, which may be in the second epoch.
            for _ in range(2):
                if row.rung is not Rung.EAGER and not row.fallen():
                    row.epoch()
            if reason := row.fallen():
                row.close()
                self.contenders.remove(row)
                self.left_out[row.name] = reason

    def close(self) -> None:
        """Let go of what the rows hold."""
        for row in self.contenders:
            row.close()

    def _add_tuned(self, workers: int) -> None:
        if self._material.device.type == "cuda" or can_time_processes():
            self.contenders.append(TunedRow(self._material, workers))
        else:
            self.left_out[tuned_name(workers)] = (
                "the processor time of loader processes cannot be read on this system"
            )

    def _add_engine(self, row: str, name: str, *, deterministic: bool) -> None:
        material = self._material
        if row != "eager" and material.device.type not in RECORDERS:
            self.left_out[name] = _NO_GPU
        elif row == "pack":
            runs = self._wanted.runs
            self.contenders.append(PackRow(name, material, runs, deterministic=deterministic))
        else:
            rung = RUNG_OF[row]
            self.contenders.append(EngineRow(name, material, rung, deterministic=deterministic))
