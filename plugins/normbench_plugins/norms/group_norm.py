"""Group normalization.

Group Normalization, Y. Wu and K. He, ECCV 2018, arXiv:1803.08494. The default is 8 groups, not the
paper's 32, because the networks here start at 16 channels. Beyond BatchNorm (E. S. Lubana, R. P.
Dick and H. Tanaka, NeurIPS 2021, arXiv:2106.05956) takes the unbiased variance, and counts groups
by its rule for ``p_grouping``.
"""

from __future__ import annotations

from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import normalise_groups
from normbench_plugins.norms.groups import check_groups, groups_at, is_unbiased


class GroupNorm(AffineNorm):
    r"""Normalize each example in groups of neighbouring channels.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with μ and σ² of one group of one example, over (C/G, H, W).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        num_groups: G, a divisor of C.
        eps: ε, added to the variance.
        variance: ``biased`` divides by the number of values of a group, ``unbiased`` by one less.
        sequence: Channels come last, and each position is normalized alone.
        scale_init: Initial γ.
        shift_init: Initial β.

    Raises:
        UsageError: If G does not divide C, or *variance* is neither.
    """

    def __init__(
        self,
        features: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        *,
        variance: str = "biased",
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        check_groups("GroupNorm", features, num_groups)
        super().__init__(
            features, eps, sequence=sequence, scale_init=scale_init, shift_init=shift_init
        )
        self.num_groups = num_groups
        self.unbiased = is_unbiased(variance, "GroupNorm")

    @property
    def invariant_groups(self) -> int | None:
        """G: each group may be rescaled."""
        return self.num_groups

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β; a group with a single value is refused."""
        return normalise_groups(
            inputs, self.weight, self.bias, self.num_groups, self.eps, unbiased=self.unbiased
        )

    def extra_repr(self) -> str:
        """Return channels, eps and groups for the printed module."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def fit(
    site: Site,
    *,
    num_groups: int = 8,
    group_size: int | None = None,
    p_grouping: float | None = None,
    eps: float = 1e-5,
    variance: str = "biased",
) -> Fitting:
    """Put a group norm at *site*; each group of output channels before it may be rescaled.

    Args:
        site: A convolutional or dense site.
        num_groups: Groups at every site.
        group_size: Channels in a group; if given it decides, and *num_groups* does not.
        p_grouping: Above 1 the groups at every site, else their number over the channels; if given
            it decides, and *num_groups* does not.
        eps: Added to the variance.
        variance: ``biased`` or ``unbiased``.

    Raises:
        UsageError: If the groups do not divide the channels, if a dense site's groups would hold
            one value, or if both *group_size* and *p_grouping* are given.
    """
    groups = groups_at(site, num_groups, group_size, p_grouping)
    sequence = site.kind != "conv"
    norm = GroupNorm(site.features, groups, eps, variance=variance, sequence=sequence)
    return Fitting(norm=norm, groups=norm.invariant_groups)
