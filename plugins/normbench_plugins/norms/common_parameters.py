"""Parameters that several norms have, described once."""

from __future__ import annotations

from normbench import Parameter

EPS = Parameter(
    name="eps",
    kind="float",
    default=1e-5,
    summary="added to the variance before the square root",
    unit="input²",
    low=1e-12,
)
MOMENTUM = Parameter(
    name="momentum",
    kind="float",
    default=0.1,
    summary="m in running = (1 - m)·running + m·batch",
    low=0.0,
    high=1.0,
)
NUM_GROUPS = Parameter(
    name="num_groups",
    kind="int",
    default=8,
    summary="groups at every site; must divide its channels",
    unit="groups",
    low=1,
)
PLACEMENT = Parameter(
    name="placement",
    kind="str",
    default="at_once",
    summary="where a sum or nothing follows: at_once keeps the affine part there, and the "
    "network's activation behind the sum; after_addition puts the norm behind the sum "
    "instead of the activation, and nothing elsewhere",
    choices=("at_once", "after_addition"),
)


def variance_of(summary: str) -> Parameter:
    """Return the choice between a biased and an unbiased variance, *summary* saying of what."""
    return Parameter(
        name="variance",
        kind="str",
        default="biased",
        summary=f"{summary}: divided by the number of values (biased) or by one less (unbiased)",
        choices=("biased", "unbiased"),
    )
