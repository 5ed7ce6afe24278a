"""Work shared with copies of this process, where it only reads files and wants to be fast.

A fork is at work within milliseconds and knows all that this process knows. It is safe only in a
process without other threads: elsewhere, and where the system shows no threads, all is done here.
So is the share of a fork that fails or dies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

_MOST = 4
_THREADS = "/proc/self/task"
_T = TypeVar("_T")


class _Fork(NamedTuple):
    """A copy of this process, and where it writes what it finds."""

    pid: int
    pipe: int


def shared(work: Callable[[str], _T], sizes: Mapping[str, int], worth: int) -> dict[str, _T]:
    """Return what *work* returns for each item.

    Args:
        work: Reads files. What it returns can be pickled; what else it does may not last.
        sizes: What each item costs.
        worth: The cost from which another process pays.
    """
    number = max(1, min(_cores(), sum(sizes.values()) // worth))
    own, *others = _shares(sizes, number)
    with _forks(work, others) as forks:
        found = {item: work(item) for item in own}
        for fork in forks:
            found |= _result(fork.pipe)
    return {item: found[item] if item in found else work(item) for item in sizes}


def _cores() -> int:
    """Return how many processes can work at once; 1 where this one must not be forked."""
    try:
        alone = len(os.listdir(_THREADS)) == 1  # noqa: PTH208 - only their number is of interest
        return min(_MOST, len(os.sched_getaffinity(0))) if alone else 1
    except (AttributeError, OSError):
        return 1


def _shares(sizes: Mapping[str, int], number: int) -> list[list[str]]:
    """Return so many groups of items that cost about the same."""
    shares: list[list[str]] = [[] for _ in range(number)]
    costs = [0] * number
    for item in sorted(sizes, key=sizes.__getitem__, reverse=True):
        least = costs.index(min(costs))
        shares[least].append(item)
        costs[least] += sizes[item]
    return shares


@contextmanager
def _forks(work: Callable[[str], _T], shares: Iterable[Sequence[str]]) -> Iterator[list[_Fork]]:
    """Start a fork for each share, and see to it that none outlives the block."""
    forks: list[_Fork] = []
    try:
        with contextlib.suppress(OSError):  # no more processes, or open files, are allowed
            for items in shares:
                forks.append(_start(work, items))
        yield forks
    finally:
        for fork in forks:
            os.close(fork.pipe)
            with contextlib.suppress(OSError):  # somebody else waits for all that end here
                os.kill(fork.pid, signal.SIGKILL)
                os.waitpid(fork.pid, 0)


def _start(work: Callable[[str], _T], items: Sequence[str]) -> _Fork:
    ours, theirs = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _work(work, items, theirs)
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return _Fork(pid, ours)


def _work(work: Callable[[str], object], items: Sequence[str], pipe: int) -> NoReturn:
    """Be the fork: nothing that this process would do at its end may happen twice."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with open(pipe, "wb", closefd=False) as file:
            pickle.dump({item: work(item) for item in items}, file)
    finally:
        os._exit(0)


def _result(pipe: int) -> dict[str, Any]:
    """Return what a fork found; nothing if it came to grief."""
    with open(pipe, "rb", closefd=False) as file:
        data = file.read()
    try:
        found: dict[str, Any] = pickle.loads(data)  # noqa: S301 - a copy of this process wrote it
    except (EOFError, pickle.UnpicklingError):
        return {}
    return found
