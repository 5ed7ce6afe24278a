"""The call of ``normbench bench``: rows of the same work, in turns within one process."""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from normbench.bench.conditions import state
from normbench.bench.contender import Contender
from normbench.bench.figures import Measured, rows_of, speed
from normbench.bench.material import Material
from normbench.bench.report import BenchReport, Extra, PartRow, Spread
from normbench.bench.roof import Need, Roof, measure_roof, training_need
from normbench.bench.rows import Lineup, Wanted
from normbench.bench.timing import Turn, Work, joules_of, take_turns
from normbench.bench.yardsticks import DeepobsRow
from normbench.engine.meter import Meter
from normbench.errors import UsageError
from normbench.rungs import Rung


def bench(
    material: Material, wanted: Wanted, conditions: Mapping[str, Any], *, rounds: int, command: str
) -> BenchReport:
    """Measure the rows of *wanted*.

    Args:
        material: What is trained.
        wanted: Rows and modes.
        conditions: As :func:`normbench.bench.conditions.conditions` told them.
        rounds: Turns that each row takes.
        command: What was typed.
    """
    lineup = Lineup(material, wanted)
    try:
        lineup.drop_fallen()
        if not lineup.contenders:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in lineup.left_out.items())
            raise UsageError(f"nothing was measured. {reasons}.")
        return _report(material, lineup, conditions, rounds, command)
    finally:
        lineup.close()


def _report(
    material: Material,
    lineup: Lineup,
    conditions: Mapping[str, Any],
    rounds: int,
    command: str,
) -> BenchReport:
    meter, rows = Meter.of(material.device), lineup.contenders
    checks = {row.name: row.checks() for row in rows}
    rules, device = material.spec.protocol.rules, material.device
    need, early = _need(material), measure_roof(device, rules.precision)
    before = state(meter)
    measured, bare = _rounds(rows, material, rounds, meter)
    pipeline = _pipeline(material, rounds)
    after = state(meter)
    roof = early.or_higher(measure_roof(device, rules.precision))
    told = {"before": before, "after": after, "roof": _told(roof, need)}
    return BenchReport(
        command=command,
        measured=datetime.datetime.now(datetime.UTC).date().isoformat(),
        n=rounds,
        problem=material.spec.problem.name,
        conditions={**conditions, **told},
        rows=rows_of(measured, checks, need.fastest(roof)[0]),
        pipeline=pipeline,
        extras=[*_overheads(measured, bare), *_costs_of_determinism(measured)],
        left_out=lineup.left_out,
    )


def _rounds(
    contenders: Sequence[Contender], material: Material, rounds: int, meter: Meter | None
) -> tuple[list[Measured], dict[str, Sequence[float]]]:
    """Return what each row took, and what its bare epoch took, for rows with one."""
    repeats = material.repeats
    turns: list[Turn] = []
    for row in contenders:
        turns += [Turn(_again(work, repeats), row.prepare) for work in (row.train, row.epoch)]
    bare = {row.name: turn for row in contenders if (turn := row.bare()) is not None}
    turns += bare.values()
    times = take_turns(turns, rounds, material.device)
    measured = [
        Measured(row, material.trained, repeats, training, whole, _joules(turn, material, meter))
        for row, turn, training, whole in zip(
            contenders, turns[1::2], times[::2], times[1::2], strict=False
        )
    ]
    return measured, dict(zip(bare, times[2 * len(measured) :], strict=True))


def _joules(turn: Turn, material: Material, meter: Meter | None) -> float | None:
    """Return what an epoch of *turn* takes."""
    found = joules_of(turn, material.device, meter.joules) if meter else None
    return None if found is None else found / material.repeats


def _again(work: Work, repeats: int) -> Work:
    def repeated() -> None:
        for _ in range(repeats):
            work()

    return repeated


def _pipeline(material: Material, rounds: int) -> list[PartRow]:
    """Measure making batches and dropping them: the PIL chain, the engine's gather."""
    plain = DeepobsRow(material).training
    source = material.session(Rung.EAGER, deterministic=False).source

    def gathered() -> None:
        source.start_epoch(1)
        size = source.batch_size
        for cursor in torch.arange(source.steps, device=material.device) * size:
            source.batch(cursor, size)

    turns = {"PIL chain": Turn(lambda: deque(plain, maxlen=0)), "one gather": Turn(gathered)}
    times = take_turns(list(turns.values()), rounds, material.device)
    speeds = [[material.trained / seconds for seconds in each] for each in times]
    return [
        PartRow(name=name, speed=speed(own, speeds[0]))
        for name, own in zip(turns, speeds, strict=True)
    ]


def _need(material: Material) -> Need:
    """Return what an example needs once the optimizer has its state."""
    precision, device = material.spec.protocol.rules.precision, material.device
    session = material.session(Rung.EAGER, deterministic=False)
    session.loop.run_epoch(1, [1.0], lambda _done, _all: None).read()
    start = torch.zeros((), dtype=torch.int64, device=device)
    batch = session.source.batch(start, material.batch_size)
    return training_need(session.built, session.task, session.optimizer, batch, precision, device)


def _told(roof: Roof, need: Need) -> dict[str, Any]:
    """Return what the device can do, what an example needs, and the speed that follows."""
    fastest, bound = need.fastest(roof)
    return {
        "matrix_flops_per_second": roof.flops,
        "copy_bytes_per_second": roof.bandwidth,
        "flops_per_example": need.flops,
        "bytes_per_example": need.traffic,
        "examples_per_second": fastest,
        "bound": bound,
    }


def _overheads(
    measured: Sequence[Measured], bare: Mapping[str, Sequence[float]]
) -> Iterator[Extra]:
    """Yield what the engine's rows take over their bare steps and evaluations."""
    for each in measured:
        if each.row.name in bare:
            yield Extra(
                name="Python, logging and metrics",
                over=f"the bare steps and evaluation of {each.row.name}",
                share=_more(each.end_to_end_seconds, bare[each.row.name]),
            )


def _costs_of_determinism(measured: Sequence[Measured]) -> Iterator[Extra]:
    """Yield what deterministic mode costs, for rungs that were measured with it and without."""
    modes = {(each.row.rung, each.row.deterministic): each for each in measured}
    for (rung, deterministic), with_it in modes.items():
        without = modes.get((rung, False))
        if rung is not None and deterministic and without is not None:
            yield Extra(
                name="deterministic mode",
                over=without.row.name,
                share=_more(with_it.training_seconds, without.training_seconds),
            )


def _more(seconds: Sequence[float], base: Sequence[float]) -> Spread:
    """Return how much more *seconds* are than *base*, as a share, round by round."""
    return Spread.of([own / other - 1 for own, other in zip(seconds, base, strict=True)])
