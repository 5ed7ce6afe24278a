"""How small a difference a number of seeds can detect: the power of the paired t-test."""

from __future__ import annotations

import math

from normbench.errors import UsageError

ALPHA = 0.05
POWER = 0.8
MOST_PAIRS = 100_000
_HALVINGS = 100


def paired_power(pairs: int, effect: float, *, comparisons: int = 1, alpha: float = ALPHA) -> float:
    r"""Return the probability that a one-sided paired t-test finds a difference that is there.

    .. math:: P(T' > t_{1 - \alpha/m,\, n - 1}), \qquad T' \sim t'_{n-1}(\delta \sqrt n)

    with T' noncentral t. With several comparisons the level is that of Holm's first step, α/m: what
    passes it is found whatever the other comparisons say.

    Args:
        pairs: Seeds that both methods have, n.
        effect: Mean difference in standard deviations of a difference, δ.
        comparisons: Rivals in the table, m.
        alpha: Probability of any false claim in the table.

    Raises:
        UsageError: If there are fewer than two pairs, or no comparison.
    """
    if pairs < 2 or comparisons < 1:
        raise UsageError(
            f"paired_power received {pairs} pairs and {comparisons} comparisons: expected at "
            "least 2 pairs and 1 comparison."
        )
    # Imported here: 0.2 s, and most commands compute no power.
    from scipy.special import nctdtr, stdtrit

    freedom = pairs - 1
    critical = -float(stdtrit(freedom, alpha / comparisons))
    return 1.0 - float(nctdtr(freedom, effect * math.sqrt(pairs), critical))


def detectable_effect(
    pairs: int, *, comparisons: int = 1, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Return the effect that *pairs* detect with probability *power*; see :func:`paired_power`.

    It is in standard deviations of a difference.

    Raises:
        UsageError: If there are fewer than two pairs, or no comparison.
    """
    low, high = 0.0, 1.0
    while paired_power(pairs, high, comparisons=comparisons, alpha=alpha) < power:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if paired_power(pairs, middle, comparisons=comparisons, alpha=alpha) < power:
            low = middle
        else:
            high = middle
    return high


def pairs_needed(
    effect: float, *, comparisons: int = 1, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Return the least number of pairs that detects *effect* with probability *power*.

    None if it is above :data:`MOST_PAIRS`. See :func:`paired_power` for the arguments.
    """

    def enough(pairs: int) -> bool:
        return paired_power(pairs, effect, comparisons=comparisons, alpha=alpha) >= power

    if effect <= 0 or not enough(MOST_PAIRS):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, MOST_PAIRS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
