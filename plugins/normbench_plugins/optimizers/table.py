"""The optimizers on offer."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Optimizer, hookimpl
from normbench_plugins.optimizers import (
    adaptive_table,
    gradient_table,
    matrix_table,
    spherical_table,
)

OPTIMIZERS = (
    *gradient_table.OPTIMIZERS,
    *adaptive_table.OPTIMIZERS,
    *matrix_table.OPTIMIZERS,
    *spherical_table.OPTIMIZERS,
)


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer the built-in optimizers."""
    return OPTIMIZERS
