"""Group normalization.

Group Normalization, Y. Wu and K. He, ECCV 2018, arXiv:1803.08494. The default is 8 groups, not the
paper's 32, because the networks here start at 16 channels.
"""

from __future__ import annotations

from torch import Tensor

from normbench import Fitting, Site, UsageError
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import normalise_groups


class GroupNorm(AffineNorm):
    r"""Normalize each example in groups of neighbouring channels.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with μ and σ² (biased) of one group of one example, over (C/G, H, W).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        num_groups: G, a divisor of C.
        eps: ε, added to the variance.
        sequence: Channels come last, and each position is normalized alone.
        scale_init: Initial γ.
        shift_init: Initial β.

    Raises:
        UsageError: If G does not divide C.
    """

    def __init__(
        self,
        features: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        *,
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        if features % num_groups:
            raise UsageError(
                f"GroupNorm received num_groups={num_groups} for {features} channels: expected one "
                f"of {_listed(_divisors(features))}."
            )
        super().__init__(
            features, eps, sequence=sequence, scale_init=scale_init, shift_init=shift_init
        )
        self.num_groups = num_groups

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β; a group with a single value is refused."""
        return normalise_groups(inputs, self.weight, self.bias, self.num_groups, self.eps)

    def extra_repr(self) -> str:
        """Return channels, eps and groups for the printed module."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def fit(
    site: Site, *, num_groups: int = 8, group_size: int | None = None, eps: float = 1e-5
) -> Fitting:
    """Put a group norm at *site*; each group of output channels before it may be rescaled.

    Args:
        site: A convolutional or dense site.
        num_groups: Groups at every site.
        group_size: Channels in a group; if given it decides, and *num_groups* does not.
        eps: Added to the variance.

    Raises:
        UsageError: If the groups do not divide the channels, or if a dense site's groups would hold
            one value.
    """
    name, value = ("num_groups", num_groups) if group_size is None else ("group_size", group_size)
    lone = _lone(name, site)
    allowed = [divisor for divisor in _divisors(site.features) if divisor != lone]
    if value not in allowed:
        raise _refusal(site, f"norm.{name}={value}", value == lone, allowed)
    groups = value if group_size is None else site.features // value
    norm = GroupNorm(site.features, groups, eps, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=groups)


def _lone(name: str, site: Site) -> int | None:
    """Return the value that would leave one channel in a group where a channel is one value."""
    if site.kind == "conv":
        return None
    return site.features if name == "num_groups" else 1


def _refusal(site: Site, given: str, is_lone: bool, allowed: list[int]) -> UsageError:
    reason = (
        f"leaves a single value in each group of the {site.features} channels of {site.kind} norm "
        f"site {site.index}, so that the output would be constant"
        if is_lone
        else f"does not divide the {site.features} channels of norm site {site.index}"
    )
    return UsageError(
        f"{given} {reason}: expected one of {_listed(allowed)}. Give one that fits every site, or "
        f"leave site {site.index} out with --sites."
    )


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"
