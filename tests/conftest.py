"""Fixtures for all tests: one thread, and nothing leaked from one test into the next."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Generator, Iterator
from itertools import islice

import pytest

# Read when torch is first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Set by libraries on first use: pytest, scikit-learn, torch.
_NOT_OURS = ("PYTEST_", "KMP_", "TORCHINDUCTOR_", "TRITON_")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process of pytest-xdist begin with its share of the modules with slow tests.

    A process without work takes the last half of another's. Were slow tests there, what those of a
    module share would be made in each process that gets some of them: in the end in all at once.
    """
    if (processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
        items[:] = _dealt(items, processes)


def _dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return *items* so that slow modules stand at the head of each process's first share."""
    slow = {item.path: None for item in items if item.get_closest_marker("slow")}
    others = (item for item in items if item.path not in slow)
    dealt: list[pytest.Item] = []
    for number in range(processes):
        mine = list(slow)[number::processes]
        share = [item for path in mine for item in items if item.path == path]
        # As pytest-xdist does: an equal part of what is left.
        size = (len(items) - len(dealt)) // (processes - number)
        dealt += [*share, *islice(others, max(0, size - len(share)))]
    return [*dealt, *others]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while modules are imported, and not at what they hold later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def listening_to_ctrl_c() -> None:
    """Let processes that tests start hear Ctrl-C, which those of a background shell ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Let torch compute in one thread, where a test module has imported it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves environment, torch's default dtype or log handlers changed."""
    before = _global_state()
    yield
    after = _global_state()
    names = before.keys() | after.keys()
    leaked = sorted(name for name in names if before.get(name) != after.get(name))
    if leaked:
        pytest.fail(f"this test leaves changed: {', '.join(leaked)}. Undo it, as monkeypatch does.")


def _global_state() -> dict[str, object]:
    """Return what must not change by the name it is reported under; the usual states are absent."""
    state: dict[str, object] = {
        f"${name}": value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_default_dtype() is not torch.float32:
        state["torch's default dtype"] = torch.get_default_dtype()
    for logger in (logging.getLogger(), *_our_loggers()):
        if handlers := [handler for handler in logger.handlers if not _is_pytests(handler)]:
            state[f"handlers of logger {logger.name}"] = handlers
    return state


def _is_pytests(handler: logging.Handler) -> bool:
    return type(handler).__module__.startswith("_pytest")


def _our_loggers() -> list[logging.Logger]:
    """Return the loggers of normbench that exist, without creating any."""
    known = logging.Logger.manager.loggerDict
    return [
        logger
        for name, logger in known.items()
        if name.startswith("normbench") and isinstance(logger, logging.Logger)
    ]
