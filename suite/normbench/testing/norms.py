"""All checks of norms."""

from __future__ import annotations

from collections.abc import Collection

from normbench.descriptions import Norm
from normbench.testing import norm_agreement, norm_claims, norm_state, norm_values, ranges
from normbench.testing.checking import Check, Finding, findings

NORM_CHECKS: tuple[Check[Norm], ...] = (
    Check(ranges.describes_itself),
    Check(ranges.takes_its_parameters),
    Check(norm_claims.fits_every_site_kind),
    Check(norm_claims.gives_every_parameter_a_role),
    Check(norm_claims.shows_its_shift_and_scale),
    Check(norm_values.keeps_shape_and_dtype),
    Check(norm_values.keeps_channels_last),
    Check(norm_values.works_in_bfloat16),
    Check(norm_values.works_under_autocast),
    Check(norm_values.gradients_are_finite),
    Check(norm_values.gradients_are_right),
    Check(norm_values.leaves_its_input_alone),
    Check(norm_claims.claimed_invariance_holds),
    Check(norm_claims.claims_all_of_its_invariance),
    Check(norm_claims.centres_as_it_says),
    Check(norm_claims.refuses_what_it_cannot_do),
    Check(norm_state.evaluation_changes_nothing),
    Check(norm_state.evaluates_examples_one_by_one),
    Check(norm_agreement.evaluates_as_it_trained),
    Check(norm_state.buffers_leave_the_graph),
    Check(norm_state.state_survives_saving),
    Check(norm_state.copies_are_independent),
    Check(norm_state.takes_a_batch_of_one),
)


def norm_checks() -> tuple[Check[Norm], ...]:
    """Return all checks of norms, to call with a :class:`normbench.Norm`."""
    return NORM_CHECKS


def check_norm(norm: Norm, *, skip: Collection[str] = ()) -> list[Finding]:
    """Return what every check makes of *norm*.

    Args:
        norm: The description.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If a name to skip is none of the checks'.
    """
    return findings(NORM_CHECKS, norm, norm.kind, norm.name, skip)
