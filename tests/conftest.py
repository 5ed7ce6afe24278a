"""Fixtures for all tests: one thread, and nothing leaked from one test into the next."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import pytest

# Read when torch is first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Set by pytest for each test, and by scikit-learn when it is imported.
_NOT_OURS = {"PYTEST_CURRENT_TEST", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}


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
    leaked = [name for name in after if before.get(name, after[name]) != after[name]]
    if leaked:
        pytest.fail(f"this test leaves {', '.join(leaked)} changed; undo it, as monkeypatch does.")


def _global_state() -> dict[str, object]:
    environment = {name: os.environ[name] for name in os.environ.keys() - _NOT_OURS}
    state: dict[str, object] = {"the environment": environment, "log handlers": _log_handlers()}
    torch = sys.modules.get("torch")
    if torch is not None:
        state["torch's default dtype"] = torch.get_default_dtype()
    return state


def _log_handlers() -> list[tuple[str, logging.Handler]]:
    """Return the handlers of the root logger and of ours, but for those of pytest."""
    loggers = [logging.getLogger(), *_our_loggers()]
    return [
        (logger.name, handler)
        for logger in loggers
        for handler in logger.handlers
        if not type(handler).__module__.startswith("_pytest")
    ]


def _our_loggers() -> list[logging.Logger]:
    """Return the loggers of normbench that exist, without creating any."""
    known = logging.Logger.manager.loggerDict
    return [
        logger
        for name, logger in sorted(known.items())
        if name.startswith("normbench") and isinstance(logger, logging.Logger)
    ]
