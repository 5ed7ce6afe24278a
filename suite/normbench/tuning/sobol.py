"""Method ``sobol``: scrambled Sobol points, the same for every space of as many axes.

Point i depends on the draw seed, the number of axes and i alone, so a larger budget extends a
smaller one, and cells that search the same space try the same settings. Scrambling is that of
On the L2-discrepancy for anchored boxes, J. Matousek, 1998, as scipy has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.parameters import Value
from normbench.tuning.space import Space
from normbench.tuning.study import Trial

MOST_TRIALS = 2**16


def propose(
    space: Space,
    *,
    metric: Metric,  # noqa: ARG001 - drawn whatever the results are
    trials: Sequence[Trial],
    budget: int,
    draw_seed: int,
) -> list[dict[str, Value]]:
    """Return all points of the budget that come after *trials*.

    Raises:
        UsageError: If the budget is larger than any sweep.
    """
    from scipy.stats.qmc import Sobol

    if budget > MOST_TRIALS:
        raise UsageError(f"--trials {budget}: expected at most {MOST_TRIALS}.")
    # A power of two keeps the points balanced, and scipy quiet; the first ones stay the same.
    points = Sobol(len(space), scramble=True, rng=draw_seed).random_base2((budget - 1).bit_length())
    return [space.at([float(share) for share in point]) for point in points[len(trials) : budget]]
