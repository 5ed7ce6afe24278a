"""How firm an order by mean is: ranks when the seeds are drawn again."""

from __future__ import annotations

import numpy as np

from normbench.leaderboard.paired import Floats

ROUNDS = 2_000
SHARE = 0.9
_SEED = 0


def ranks_of(scores: Floats) -> Floats:
    """Return the rank of each score along the first dimension: 1 plus how many are larger."""
    return np.stack([_ranks(column) for column in scores.reshape(len(scores), -1).T], 1).reshape(
        scores.shape
    )


def _ranks(column: Floats) -> Floats:
    ascending = np.sort(column)
    larger = len(column) - np.searchsorted(ascending, column, side="right")
    return np.asarray(larger + 1.0)


def rank_intervals(scores: Floats) -> list[tuple[int, int]]:
    """Return the interval that holds 90 % of each row's ranks when seeds are drawn again.

    The same seeds are drawn for all rows, with replacement, 2 000 times by a fixed generator. It
    shows how fragile the order is; it is no test, and too narrow below about ten seeds.

    Args:
        scores: Rows by seeds, larger is better.
    """
    rows, seeds = scores.shape
    generator = np.random.default_rng(_SEED)
    weights = generator.multinomial(seeds, [1.0 / seeds] * seeds, size=ROUNDS)
    ranks = ranks_of(np.round(scores @ weights.T / seeds, 12))
    tail = (1.0 - SHARE) / 2
    low = np.quantile(ranks, tail, axis=1, method="inverted_cdf")
    high = np.quantile(ranks, 1 - tail, axis=1, method="inverted_cdf")
    return [(int(low[row]), int(high[row])) for row in range(rows)]


def average_ranks(scores: Floats) -> Floats:
    """Return the rank of each row in each column, 1 for the largest; equal ones share the mean."""
    above = (scores[:, None] < scores[None]).sum(1)
    equal = (scores[:, None] == scores[None]).sum(1)
    return np.asarray(above + (equal + 1) / 2)
