"""From what was typed after ``normbench bench`` to what was measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.cli.options import Invocation
from normbench.cli.output import print_text
from normbench.errors import UsageError

if TYPE_CHECKING:
    import torch

    from normbench.bench.journal import Journal
    from normbench.bench.material import Material
    from normbench.bench.norms import NormReport
    from normbench.bench.report import BenchReport
    from normbench.bench.rows import Wanted
    from normbench.specs import RunSpec

_CPU_EXAMPLES = 2048


def measured(
    invocation: Invocation, against: Path | None, given: Mapping[str, Any]
) -> tuple[BenchReport, BenchReport | None]:
    """Return what was measured, and the report to hold it against, checked beforehand."""
    from normbench.bench.against import check_comparable, other_hardware
    from normbench.bench.conditions import conditions
    from normbench.bench.journal import temporary_journal
    from normbench.bench.measure import bench
    from normbench.bench.reading import read_report
    from normbench.bench.rows import first_name
    from normbench.engine.meter import Meter

    then = read_report(against) if against else None
    device = device_named(given["device"])
    spec = _spec(invocation, given)
    wanted = _wanted(given, spec)
    with temporary_journal() as journal:
        material = _material(invocation, spec, given["examples"], device, journal)
        now = conditions(material, wanted.deterministic, given["rounds"], Meter.of(device))
        if then is not None and against is not None:
            check_comparable(against, then, spec.problem.name, now, first_name(wanted))
            if warning := other_hardware(then, now):
                print_text(f"Beware: {warning}", err=True)
        command = shlex.join(["normbench", *invocation.arguments])
        return bench(material, wanted, now, rounds=given["rounds"], command=command), then


def measured_norms(
    invocation: Invocation, precision: str, against: Path | None, given: Mapping[str, Any]
) -> tuple[NormReport, NormReport | None]:
    """Return what was measured of norms alone, and the report to hold it against."""
    from normbench.bench.against import SAME_OF_NORMS, check_same, other_hardware
    from normbench.bench.norms import SHAPE, bench_norms, conditions
    from normbench.bench.reading import read_norms

    then = read_norms(against) if against else None
    device, rounds = device_named(given["device"]), given["rounds"]
    if then is not None and against is not None:
        now = conditions(device, SHAPE, precision, rounds)
        check_same(against, then.conditions, now, SAME_OF_NORMS)
        if warning := other_hardware(then, now):
            print_text(f"Beware: {warning}", err=True)
    names = None if given["norm"] is None else (given["norm"],)
    found = bench_norms(
        invocation.catalogue, device, shape=SHAPE, precision=precision, names=names, rounds=rounds
    )
    return found, then


def device_named(name: str) -> torch.device:
    """Return the first device that *name* means, with one thread on the processor."""
    import torch

    from normbench.launchers.devices import devices

    device = torch.device(devices(name, 1)[0])
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device


def _spec(invocation: Invocation, given: Mapping[str, Any]) -> RunSpec:
    from normbench.resolve import Request, resolve

    names = ("problem", "optimizer", "norm", "words")
    request = Request(**{name: given[name] for name in names}, seeds=1)
    return resolve(request, invocation.catalogue)[0]


def _wanted(given: Mapping[str, Any], spec: RunSpec) -> Wanted:
    from normbench.bench.rows import ROWS, Wanted, rows_named

    own = spec.protocol.rules.deterministic
    modes = {None: (own,), "on": (True,), "off": (False,), "both": (True, False)}
    return Wanted(
        rows=ROWS if given["rows"] is None else rows_named(given["rows"]),
        workers=given["workers"],
        runs=given["pack"],
        deterministic=modes[given["deterministic"]],
    )


def _material(
    invocation: Invocation,
    spec: RunSpec,
    examples: int | None,
    device: torch.device,
    journal: Journal,
) -> Material:
    from normbench.bench.material import CUDA_STEPS, gather
    from normbench.descriptions import Dataset
    from normbench.engine.session import load_data
    from normbench.places import data_folder

    dataset = invocation.catalogue.get(Dataset, spec.problem.dataset.name)
    if dataset.content in ("tokens", "files"):
        raise UsageError(
            f"normbench bench {spec.problem.name}: the plain loop reads images and tables in "
            f"memory, but the content of dataset {dataset.name} is {dataset.content}. Time another "
            "problem."
        )
    if examples is None:
        batch = spec.problem.training.batch_size
        examples = CUDA_STEPS * batch if device.type == "cuda" else _CPU_EXAMPLES
    data = load_data(dataset, data_folder(invocation.data_dir))
    return gather(spec, invocation.catalogue, data, device, examples, journal)
