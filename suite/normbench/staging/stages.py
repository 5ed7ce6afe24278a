"""At which numbers of seeds a row is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.errors import UsageError
from normbench.leaderboard.against import LEAST_FOR_VERDICT
from normbench.leaderboard.staged import check_stages
from normbench.specs import FIRST_TUNING_SEED

MOST_SEEDS = 20
STEP = 5


def chosen_stages(
    stages: Sequence[int] | None = None, max_seeds: int | None = None
) -> tuple[int, ...]:
    """Return the stages: those given, else every five seeds, up to *max_seeds*, by default 20.

    Where *max_seeds* lies between two stages, it is the last one itself.

    Raises:
        UsageError: If they do not grow, or no verdict can be given at the first one.
    """
    if max_seeds is not None and max_seeds < LEAST_FOR_VERDICT:
        raise UsageError(
            f"--max-seeds {max_seeds}: expected {LEAST_FOR_VERDICT} or more; fewer pairs get no "
            "verdict."
        )
    if stages is None:
        most = max_seeds or MOST_SEEDS
        stages = range(STEP, most + STEP, STEP)
    else:
        check_stages(stages)
        most = max_seeds or stages[-1]
        if stages[0] < LEAST_FOR_VERDICT:
            raise UsageError(
                f"--stages begins with {stages[0]}: expected {LEAST_FOR_VERDICT} or more; fewer "
                "pairs get no verdict."
            )
        if most > stages[-1]:
            raise UsageError(
                f"--max-seeds {most} is above the last of the stages, {stages[-1]}: give that "
                "stage too, or leave --max-seeds out."
            )
    if most >= FIRST_TUNING_SEED:
        raise UsageError(
            f"{most} seeds: expected fewer than {FIRST_TUNING_SEED}, from where on seeds are kept "
            "for tuning."
        )
    return (*(stage for stage in stages if stage < most), most)
