"""Turns: several loops do their work one after another, again and again, and are timed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

Work = Callable[[], object]
Meter = Callable[[], float | None]
STRETCH_SECONDS = 2.0
"""Least time that energy is read over: the counter of a GPU moves every 20 to 100 ms."""
_PROCESSES = Path("/proc")
_USER_AND_SYSTEM = slice(11, 13)


@dataclass(frozen=True)
class Turn:
    """What a loop does when it is its turn.

    Attributes:
        work: What is timed.
        prepare: What comes before, untimed.
        finish: What comes after, untimed.
    """

    work: Work
    prepare: Work = lambda: None
    finish: Work = lambda: None


def take_turns(turns: Sequence[Turn], rounds: int, device: torch.device) -> list[list[float]]:
    """Return the seconds that each turn takes in each round, after one round to warm up.

    Taking turns, all are hit alike by drift of the machine.
    """
    found: list[list[float]] = [[] for _ in turns]
    for number in range(rounds + 1):
        for seconds, turn in zip(found, turns, strict=True):
            turn.prepare()
            taken = seconds_of(turn.work, device)
            turn.finish()
            if number:
                seconds.append(taken)
    return found


def joules_of(turn: Turn, device: torch.device, meter: Meter) -> float | None:
    """Return the energy that the work of *turn* takes; None where *meter* does not answer.

    It is done again and again for :data:`STRETCH_SECONDS` or longer, and read once before that and
    once after.
    """
    turn.prepare()
    _wait(device)
    before, began, times = meter(), time.perf_counter(), 0
    while before is not None and time.perf_counter() - began < STRETCH_SECONDS:
        turn.work()
        _wait(device)
        times += 1
    after = meter()
    turn.finish()
    return None if before is None or after is None else (after - before) / times


def seconds_of(work: Work, device: torch.device) -> float:
    """Return the seconds that *work* takes.

    On CUDA the time between two events on the device, behind all that came before. On the
    processor the time computed by this process and by the loader processes that it started, so
    that other load matters little.
    """
    if device.type == "cuda":
        return _event_seconds(work, device)
    started = _computed()
    work()
    return _computed() - started


def can_time_processes() -> bool:
    """Whether the processor time of other processes can be read here."""
    return (_PROCESSES / "self" / "stat").is_file()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _event_seconds(work: Work, device: torch.device) -> float:
    torch.cuda.synchronize(device)
    stream = torch.cuda.current_stream(device)
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    begin.record(stream)
    work()
    end.record(stream)
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def _computed() -> float:
    children = (child.pid for child in multiprocessing.active_children())
    return time.process_time() + sum(_computed_by(pid) for pid in children if pid is not None)


def _computed_by(pid: int) -> float:
    try:
        text = (_PROCESSES / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:  # It has ended.
        return 0.0
    # The name in parentheses may contain spaces.
    ticks = text.rpartition(")")[2].split()[_USER_AND_SYSTEM]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
