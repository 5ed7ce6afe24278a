"""The observers on offer."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Observer, hookimpl

OBSERVERS: tuple[Observer, ...] = ()


@hookimpl
def normbench_observers() -> Sequence[Observer]:
    """Offer the built-in observers."""
    return OBSERVERS
