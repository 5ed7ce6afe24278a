"""Method ``sobol``: scrambled Sobol points, the same for every space of as many axes.

Point i depends on the draw seed, the number of axes and i alone. The trials are the first points
that differ in their setting: among choices, whole numbers and rounded values, a point that repeats
a setting is passed over, since training it again would tell nothing new. So a larger budget extends
a smaller one, and cells that search the same space try the same settings. Scrambling is that of On
the L2-discrepancy for anchored boxes, J. Matousek, 1998, as scipy has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.parameters import Value
from normbench.tuning.space import Space
from normbench.tuning.study import Trial

MOST_TRIALS = 2**16
_MOST_DOUBLINGS = 20


def propose(
    space: Space,
    *,
    metric: Metric,  # noqa: ARG001 - drawn whatever the results are
    trials: Sequence[Trial],
    budget: int,
    draw_seed: int,
) -> list[dict[str, Value]]:
    """Return settings that *trials* do not have yet, as many as are left of the budget.

    Raises:
        UsageError: If the budget is larger than any sweep, or than the settings that were met.
    """
    if budget > MOST_TRIALS:
        raise UsageError(f"--trials {budget}: expected at most {MOST_TRIALS}.")
    tried = {setting_key(trial.values) for trial in trials}
    found = list(islice(_untried(space, tried, draw_seed), budget - len(trials)))
    if len(found) < budget - len(trials):
        met = len(trials) + len(found)
        raise UsageError(
            f"--trials {budget}: {2**_MOST_DOUBLINGS} points of {space} gave only {met} different "
            f"settings. Give --trials {met} at most, or --method grid."
        )
    return found


def setting_key(values: Mapping[str, Value]) -> frozenset[tuple[str, Value]]:
    """Return what two trials have in common if they try the same setting."""
    return frozenset(values.items())


def _untried(
    space: Space, tried: set[frozenset[tuple[str, Value]]], draw_seed: int
) -> Iterator[dict[str, Value]]:
    for point in _points(len(space), draw_seed):
        values = space.at(point)
        key = setting_key(values)
        if key not in tried:
            tried.add(key)
            yield values


def _points(axes: int, draw_seed: int) -> Iterator[list[float]]:
    """Yield the points of the sequence, each time as many as there were before."""
    from scipy.stats.qmc import Sobol

    sequence = Sobol(axes, scramble=True, rng=draw_seed)
    # Powers of two keep scipy quiet.
    for doubling in (0, *range(_MOST_DOUBLINGS)):
        yield from sequence.random_base2(doubling).tolist()
