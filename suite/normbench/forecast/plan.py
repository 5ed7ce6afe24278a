"""A plan: what is asked for, what of it is done, what the rest takes, and what it can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.forecast.cells import Cell, gather
from normbench.forecast.cost import cost_of_probe, cost_of_runs
from normbench.forecast.detection import Detection, detections
from normbench.forecast.disk import around_bytes, estimated_bytes, measured_bytes
from normbench.forecast.probes import Probe, Prober
from normbench.forecast.schedule import finish_seconds
from normbench.forecast.starts import measured_start
from normbench.forecast.tuned import FinishedTrials
from normbench.plugins import Catalogue
from normbench.resolve import resolve
from normbench.store import RunState, RunStore
from normbench.suites import Plan, as_known_now

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Disk that the runs left to train will take, in bytes.

    Attributes:
        runs: For good.
        checkpoints: At most, while they train; None where it is not known.
        measured: Whether *runs* was measured on finished runs of the plan.
    """

    runs: int
    checkpoints: int | None
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A whole plan.

    Attributes:
        cells: Its rows.
        device: The device that times are for, ``cpu`` or ``cuda:N``.
        hardware: Its name.
        devices: How many runs train at once.
        detections: What each table can detect.
        disk: What the runs left will take.
        title: The suite's; empty for a single request.
        start_seconds: Seconds until a worker can take a run, as launches of the store measured
            them; None if there were none.
    """

    cells: Sequence[Cell]
    device: str
    hardware: str
    devices: int
    detections: Sequence[Detection]
    disk: Disk
    title: str = ""
    start_seconds: float | None = None

    @property
    def runs(self) -> int:
        """Number of runs."""
        return sum(len(cell.runs) for cell in self.cells)

    def count(self, word: str) -> int:
        """Return the number of runs that are ``done``, ``running``, ``failed``, ``cancelled``."""
        return sum(cell.counts[word] for cell in self.cells)

    @property
    def left(self) -> int:
        """Number of runs that are not done."""
        return sum(len(cell.left) for cell in self.cells)

    @property
    def unknown(self) -> int:
        """Number of runs left whose cost is not known."""
        return sum(len(cell.left) for cell in self.cells if cell.cost is None)

    @property
    def not_probed(self) -> int:
        """Number of cells with runs left that nothing is known of: none of them was built."""
        return sum(map(_lacks_cost, self.cells))

    @property
    def device_seconds(self) -> float:
        """Seconds that the runs left take on one device after another."""
        return sum(sum(cell.seconds_left) for cell in self.cells)

    @property
    def finish_seconds(self) -> float:
        """Seconds until the last run ends on all devices, longest runs first.

        With the start of the workers, where that was measured.
        """
        last = finish_seconds(
            (seconds for cell in self.cells for seconds in cell.seconds_left), self.devices
        )
        return last + (self.start_seconds or 0.0) if last else last

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as strict JSON values."""
        return {
            "title": self.title,
            "device": self.device,
            "hardware": self.hardware,
            "devices": self.devices,
            "runs": self.runs,
            **{word: self.count(word) for word in ("done", "running", "failed", "cancelled")},
            "left": self.left,
            "of_unknown_length": self.unknown,
            "not_probed": self.not_probed,
            "device_seconds": self.device_seconds,
            "finish_seconds": self.finish_seconds,
            "start_seconds": self.start_seconds,
            "disk": vars(self.disk),
            "cells": [_cell_record(cell) for cell in self.cells],
            "detection": [_detection_record(each) for each in self.detections],
        }


def with_costs(
    cells: Iterable[Cell],
    prober: Prober,
    *,
    probe: bool,
    note: Note,
    store: RunStore | None = None,
) -> list[Cell]:
    """Return *cells* with their costs.

    From runs that the store has on such a device, else from trials of the same cell there, else
    from a probe; cells whose steps cost the same share one.

    Args:
        cells: The plan.
        prober: Makes and remembers probes.
        probe: Whether new probes are made.
        note: Told of each new probe before it begins.
        store: Where trials are looked for; None to look for none.
    """
    trials = FinishedTrials(store)
    known = [_known(cell, prober, trials) for cell in cells]
    if not probe:
        return known
    wanted: dict[str, Cell] = {}
    for cell in known:
        if cell.spec is not None and _lacks_cost(cell):
            wanted.setdefault(prober.key(cell.spec), cell)
    made: dict[str, Probe] = {}
    for number, (key, cell) in enumerate(wanted.items(), start=1):
        note(f"probe {number} of {len(wanted)}: {cell.label}")
        made[key] = prober.probe(cell.runs[0].spec)
    return [
        _probed(cell, made[prober.key(cell.runs[0].spec)]) if _lacks_cost(cell) else cell
        for cell in known
    ]


def _known(cell: Cell, prober: Prober, trials: FinishedTrials) -> Cell:
    """Return *cell* with its cost as far as it is known without a new probe."""
    if cell.spec is None:
        return cell
    cost = cost_of_runs(cell.runs, prober.device, prober.hardware)
    if cost is None and cell.left:
        cost = cost_of_runs(trials.of(cell.spec), prober.device, prober.hardware, "trials")
    if cost is not None:
        return cell.with_cost(cost)
    kept = prober.known(cell.spec)
    return cell if kept is None else _probed(cell, kept)


def _lacks_cost(cell: Cell) -> bool:
    """Whether a probe of *cell* would tell something that the plan needs and can be made."""
    return bool(cell.left) and cell.cost is None and not (cell.error or cell.missing_data)


def _probed(cell: Cell, probe: Probe) -> Cell:
    if cell.spec is None or probe.measured is None:
        words = probe.outcome.replace("_", " ")
        return cell.with_cost(None, f"{words}: {probe.message}")
    return cell.with_cost(cost_of_probe(cell.spec, probe.measured))


def disk_of(cells: Sequence[Cell], devices: int, store: Path | None = None) -> Disk:
    """Return the disk that the runs of *cells* which are left will take.

    Args:
        cells: The plan.
        devices: Runs trained at once.
        store: Folder of the store; None if there is none yet.
    """
    finished = (
        run.run.path
        for cell in cells
        for run in cell.runs
        if run.run is not None and run.state is RunState.FINISHED
    )
    measured = measured_bytes(finished)
    sizes = [
        (measured or estimated_bytes(cell.spec)) * len(cell.left)
        for cell in cells
        if cell.spec is not None
    ]
    checkpoints = [
        cell.cost.checkpoint
        for cell in cells
        if cell.left and cell.cost is not None and cell.cost.checkpoint is not None
    ]
    left = sum(len(cell.left) for cell in cells if cell.spec is not None)
    largest = max(checkpoints) * min(devices, left) if checkpoints else None
    around = around_bytes(left, devices, store) if left else 0
    return Disk(runs=sum(sizes) + around, checkpoints=largest, measured=measured is not None)


def _cell_record(cell: Cell) -> dict[str, Any]:
    spec, cost = cell.spec, cell.cost
    named = (
        {}
        if spec is None
        else {
            "row": spec.row,
            "problem": spec.problem.name,
            "norm": spec.norm_label,
            "optimizer": spec.optimizer_label,
            "hyperparameters": dict(spec.optimizer.parameters),
            "protocol": spec.protocol.name,
            "deviations": list(spec.deviations),
            "epochs": spec.epochs,
        }
    )
    return {
        "cell": cell.label,
        "trials": cell.trials,
        **named,
        "seeds": [run.spec.seed for run in cell.runs],
        **cell.counts,
        "left": len(cell.left),
        "cost": None if cost is None else vars(cost),
        "seconds_left": sum(cell.seconds_left) if cost is not None else None,
        "error": cell.error,
        "missing_data": cell.missing_data,
    }


def _detection_record(each: Detection) -> dict[str, Any]:
    return {
        **vars(each),
        "metric": each.metric.name,
        "smallest_difference": each.metric.smallest_difference,
        "difference": each.difference,
        "deviation": None if each.deviation is None else vars(each.deviation),
    }


def forecast(
    plan: Plan,
    catalogue: Catalogue,
    store: RunStore | None,
    folder: Path,
    prober: Prober,
    *,
    devices: int,
    probe: bool,
    note: Note,
) -> Forecast:
    """Return what the cells of *plan* take and can show.

    Args:
        plan: The cells.
        catalogue: What the plugins offer.
        store: The store; None if there is none yet.
        folder: Data folder.
        prober: Makes and remembers probes, on the device that times are for.
        devices: Runs trained at once.
        probe: Whether new probes are made.
        note: Told of each new probe before it begins.

    Raises:
        StoreError: If the store cannot be read.
    """
    known = as_known_now(plan, catalogue)
    cells = gather(known.requests, catalogue, store, folder)
    trials = [] if any(cell.error for cell in cells) else _trials(plan, catalogue, store, folder)
    cells = with_costs([*trials, *cells], prober, probe=probe, note=note, store=store)
    references = [resolve(request, catalogue)[0].row for request in known.references]
    return Forecast(
        cells=cells,
        device=prober.device,
        hardware=prober.hardware,
        devices=devices,
        detections=detections([c for c in cells if not c.trials], catalogue, references),
        disk=disk_of(cells, devices, None if store is None else store.root),
        title=plan.title,
        start_seconds=None if store is None else measured_start(store.root),
    )


def _trials(plan: Plan, catalogue: Catalogue, store: RunStore | None, folder: Path) -> list[Cell]:
    # Most plans are of nothing that is tuned.
    if plan.trials is None:
        return []
    from normbench.forecast.trials import trial_cells

    return trial_cells(plan, catalogue, store, folder)
