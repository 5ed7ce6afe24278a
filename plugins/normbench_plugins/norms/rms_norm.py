"""Root-mean-square normalization: layer normalization without centring.

Root Mean Square Layer Normalization, B. Zhang and R. Sennrich, NeurIPS 2019, arXiv:1910.07467. As
in ``torch.nn.RMSNorm`` there is a scale and no shift; after a convolution the scale is one number
for each channel, and the mean is taken over all channels and positions, as in ``layer_norm``.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import rescale_groups


class RMSNorm(AffineNorm):
    r"""Divide each example by the root mean square of all its channels and positions.

    .. math:: y = \gamma \frac{x}{\sqrt{\nu^2 + \epsilon}}, \qquad \nu^2 = \mathrm{mean}(x^2)

    with the mean over (C, H, W) of one example; with *sequence* over C of one position.

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1): (C,). There is no β.

    Args:
        features: C.
        eps: ε, added to the mean square.
        sequence: Channels come last.
        scale_init: Initial γ.
    """

    centres: ClassVar[bool] = False
    has_shift: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        *,
        sequence: bool = False,
        scale_init: float = 1.0,
    ) -> None:
        super().__init__(features, eps, sequence=sequence, scale_init=scale_init)

    @property
    def invariant_groups(self) -> int | None:
        """One: only all channels together may be rescaled."""
        return 1

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x/√(ν² + ε)."""
        return rescale_groups(inputs, self.weight, None, 1, self.eps)


def fit(site: Site, *, eps: float = 1e-5) -> Fitting:
    """Put an RMS norm at *site*; only the whole weight before it may be rescaled."""
    norm = RMSNorm(site.features, eps, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=norm.invariant_groups)
