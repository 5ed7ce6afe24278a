"""Python's search for cyclic garbage, kept still where it would only cost time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (50_000, 20, 100)


@contextmanager
def uncollected() -> Iterator[None]:
    """Let no search begin: of 100 000 objects that all stay alive, each would find none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let searches begin seldom: of objects that are many and mostly stay alive.

    Unlike :func:`uncollected` it is for what also leaves cyclic garbage behind, such as sessions
    of a database.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
