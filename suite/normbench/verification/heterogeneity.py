"""Whether a difference depends on the group: a one-way analysis of variance.

Statistical Methods for Research Workers, R. A. Fisher, 1925.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normbench.leaderboard.paired import Floats, all_equal


def same_mean_p(groups: Sequence[Floats], scale: float) -> float | None:
    r"""Return the p that all groups have one mean; None for fewer than two groups.

    .. math::
        F = \frac{\sum_g n_g (\bar d_g - \bar d)^2 / (k - 1)}
                 {\sum_g \sum_i (d_{gi} - \bar d_g)^2 / (n - k)}

    with k - 1 and n - k degrees of freedom for n differences in k groups. Where the differences
    within each group are equal there is no error: p is 1 if all groups have the same, else 0.

    Args:
        groups: Differences of each group; two or more.
        scale: Largest value that they are differences of, by which rounding is told.
    """
    from scipy.special import fdtrc

    if len(groups) < 2:
        return None
    whole = np.concatenate(groups)
    if all(all_equal(group, scale) for group in groups):
        return 1.0 if all_equal(whole, scale) else 0.0
    between = sum(len(group) * (group.mean() - whole.mean()) ** 2 for group in groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    freedom = len(groups) - 1, len(whole) - len(groups)
    return float(fdtrc(*freedom, between / freedom[0] / (within / freedom[1])))
