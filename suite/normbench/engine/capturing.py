"""One capture of a CUDA graph, and what becomes of the process when it breaks off.

Up to torch 2.12 a capture that CUDA refuses leaves much behind: the allocator takes it to be under
way, so that the next one ends in an internal error; the stream of the capture stays the current
one; and each generator that the graph knows is taken to be capturing, so that neither a plain step
nor the replay of an earlier graph can draw from it. Stream and memory are put right here. A mark on
a generator is taken off by the next capture that holds, and by nothing else: a fresh state would
leave the mark to the earlier graphs, which keep the old one.

So a small graph is captured behind each one that broke. It takes off the marks, and it proves that
what it draws is what is drawn plainly. If even that fails, this process captures nothing more.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

import torch

from normbench.errors import NormbenchError

# Later torch finds out by itself what a capture draws from, and warns of being told.
TOLD_OF_GENERATORS = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 14)
_log = logging.getLogger("normbench.engine")


class CaptureBrokenError(NormbenchError):
    """A broken capture has left generators that nobody can draw from: the process is of no use."""


class Captures:
    """Whether this process captures.

    Attributes:
        over: Why it does so no more; empty while it does.
    """

    def __init__(self) -> None:
        self.over = ""
        # The host's allocator goes on asking these whether a stream is theirs.
        self.broken: list[torch.cuda.CUDAGraph] = []


CAPTURES = Captures()


def capture(
    device: torch.device,
    stream: torch.cuda.Stream,
    work: Callable[[], None],
    generators: Sequence[torch.Generator],
) -> torch.cuda.CUDAGraph:
    """Return a graph of what *work* does.

    Args:
        device: Where the tensors are.
        stream: Where it is captured.
        work: What is captured.
        generators: What it draws from, beside torch's global generator.

    Raises:
        CaptureBrokenError: If *work* cannot be captured, and nobody can draw any more.
        Exception: If it cannot be captured.
    """
    if CAPTURES.over:
        raise RuntimeError(f"this process captures nothing more: {CAPTURES.over}")
    try:
        return _captured(device, stream, work, generators)
    except Exception:
        drawn_from = [*generators, torch.cuda.default_generators[_index(device)]]
        _prove(device, stream, drawn_from)
        raise


def _captured(
    device: torch.device,
    stream: torch.cuda.Stream,
    work: Callable[[], None],
    generators: Sequence[torch.Generator],
) -> torch.cuda.CUDAGraph:
    """Return a graph of *work*; if that breaks off, stream and memory are as before.

    Raises:
        BaseException: What *work* raised; behind that, torch says only that the capture broke.
    """
    before = torch.cuda.current_stream(device)
    # Given its name here, for a graph that broke does not tell it.
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    if TOLD_OF_GENERATORS:
        for generator in generators:
            graph.register_generator_state(generator)
    reason: BaseException | None = None
    try:
        # The threads that keep the lease and pin batches must not break the capture: on older torch
        # one that breaks may be the last of this process.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            try:
                work()
            except BaseException as error:
                reason = error
                raise
    except BaseException as error:  # noqa: BLE001 - raised below
        reason = reason or error
    if reason is not None:
        torch.cuda.set_stream(before)
        _leave_pool(graph, pool, _index(device))
        try:
            raise reason
        finally:
            # Its traceback holds this frame: nothing may keep the tensors of the capture alive.
            del reason
    return graph


def _leave_pool(graph: torch.cuda.CUDAGraph, pool: tuple[int, int], index: int) -> None:
    """Tell the allocator that the capture of *graph* is over, if torch has not."""
    # What torch has ended raises, and is not to be given back twice: that is the graph's part.
    with contextlib.suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(index, pool)
        CAPTURES.broken.append(graph)
        torch._C._cuda_releasePool(index, pool)


def _prove(
    device: torch.device, stream: torch.cuda.Stream, generators: Sequence[torch.Generator]
) -> None:
    """Capture and replay a small graph that draws from *generators*, whose states stay.

    Raises:
        CaptureBrokenError: If that fails, and drawing plainly as well.
    """
    states = [generator.get_state() for generator in generators]
    try:
        _draw_twice(device, stream, generators, states)
    except Exception as error:  # noqa: BLE001 - whatever it is, captures have come to their end
        words = str(error).strip().splitlines() or [""]
        CAPTURES.over = f"{type(error).__name__}: {words[0]}"
        _log.warning("this process captures nothing more: %s", CAPTURES.over)
        _draw_plainly(device, generators)
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _draw_twice(
    device: torch.device,
    stream: torch.cuda.Stream,
    generators: Sequence[torch.Generator],
    states: Sequence[torch.Tensor],
) -> None:
    numbers = torch.zeros(len(generators), device=device)

    def draw() -> None:
        for index, generator in enumerate(generators):
            numbers[index : index + 1].uniform_(generator=generator)

    def start() -> None:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    graph = _captured(device, stream, draw, generators)
    start()
    graph.replay()
    replayed = numbers.clone()
    start()
    draw()
    if not torch.equal(replayed, numbers):
        raise RuntimeError("a replay draws other numbers than plain operations")


def _draw_plainly(device: torch.device, generators: Sequence[torch.Generator]) -> None:
    try:
        for generator in generators:
            torch.rand(1, device=device, generator=generator).item()
    except Exception as error:
        raise CaptureBrokenError(
            f"a CUDA graph could not be captured, and torch {torch.__version__} has not recovered "
            f"from that: {str(error).strip().splitlines()[0]} Train the run in a new process, with "
            "--engine eager."
        ) from error


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
