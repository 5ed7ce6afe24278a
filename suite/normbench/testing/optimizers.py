"""All checks of optimizers."""

from __future__ import annotations

from collections.abc import Collection

from normbench.descriptions import Optimizer
from normbench.testing import (
    descent,
    optimizer_capture,
    optimizer_claims,
    optimizer_decay,
    optimizer_state,
    optimizer_steps,
    ranges,
)
from normbench.testing.checking import Check, Finding, findings

OPTIMIZER_CHECKS: tuple[Check[Optimizer], ...] = (
    Check(ranges.describes_itself),
    Check(ranges.takes_its_parameters),
    Check(optimizer_claims.has_a_learning_rate),
    Check(optimizer_claims.trains_a_network),
    Check(optimizer_claims.needs_a_closure_as_it_says),
    Check(optimizer_claims.foreach_equals_loop),
    Check(optimizer_claims.refuses_what_it_cannot_do),
    Check(descent.minimises_a_quadratic),
    Check(descent.minimises_rosenbrock),
    Check(optimizer_steps.stands_still_at_rate_zero),
    Check(optimizer_steps.follows_its_learning_rate),
    Check(optimizer_steps.keeps_rates_of_groups_apart),
    Check(optimizer_steps.decays_where_it_is_told),
    Check(optimizer_decay.decouples_decay_as_it_says),
    Check(optimizer_steps.leaves_gradients_alone),
    Check(optimizer_steps.passes_over_missing_gradients),
    Check(optimizer_state.resumes_bit_for_bit),
    Check(optimizer_state.keeps_its_groups),
    Check(optimizer_state.keeps_dtype),
    Check(optimizer_state.does_not_mind_the_layout),
    Check(optimizer_state.elementwise_as_it_says),
    Check(optimizer_state.averages_as_it_says),
    Check(optimizer_capture.can_be_captured_as_it_says),
)


def optimizer_checks() -> tuple[Check[Optimizer], ...]:
    """Return all checks of optimizers, to call with a :class:`normbench.Optimizer`."""
    return OPTIMIZER_CHECKS


def check_optimizer(optimizer: Optimizer, *, skip: Collection[str] = ()) -> list[Finding]:
    """Return what every check makes of *optimizer*.

    Args:
        optimizer: The description.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If a name to skip is none of the checks'.
    """
    return findings(OPTIMIZER_CHECKS, optimizer, optimizer.kind, optimizer.name, skip)
