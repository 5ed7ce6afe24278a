"""The norms on offer."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Norm, hookimpl
from normbench_plugins.norms.batch_table import BATCH_NORMS
from normbench_plugins.norms.example_table import EXAMPLE_NORMS
from normbench_plugins.norms.nonlinear_table import NONLINEAR_NORMS
from normbench_plugins.norms.weight_table import WEIGHT_NORMS

_NONE = Norm(
    name="none",
    summary="no norm: the activations pass unchanged",
    site_kinds=("conv", "dense", "sequence"),
    factory="normbench_plugins.norms.none:fit",
)

NORMS = (_NONE, *BATCH_NORMS, *EXAMPLE_NORMS, *NONLINEAR_NORMS, *WEIGHT_NORMS)


@hookimpl
def normbench_norms() -> Sequence[Norm]:
    """Offer the built-in norms."""
    return NORMS
