"""Layer normalization.

Layer Normalization, J. L. Ba, J. R. Kiros and G. E. Hinton, 2016, arXiv:1607.06450. After a
convolution γ and β are one number for each channel and not for each element, as in Beyond BatchNorm
(E. S. Lubana, R. P. Dick and H. Tanaka, NeurIPS 2021, arXiv:2106.05956).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import layer_norm

from normbench import Fitting, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import group_size, normalise_groups
from normbench_plugins.norms.moments import wide


class LayerNorm(AffineNorm):
    r"""Normalize each example over all its channels and positions.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with μ and σ² (biased) of one example, over (C, H, W); with *sequence* of one position, over C.

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    @property
    def invariant_groups(self) -> int | None:
        """One: only all channels together may be rescaled."""
        return 1

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β; an example with a single value is refused."""
        if inputs.ndim > 2:
            return normalise_groups(inputs, self.weight, self.bias, 1, self.eps)
        group_size(inputs, 1)
        dtype = wide(inputs)
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)
        # Without positions there is no layout to keep, and torch's kernel is five times faster.
        return layer_norm(inputs.to(dtype), weight.shape, weight, bias, self.eps).to(inputs.dtype)


def fit(site: Site, *, eps: float = 1e-5) -> Fitting:
    """Put a layer norm at *site*; only the whole weight before it may be rescaled."""
    norm = LayerNorm(site.features, eps, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=norm.invariant_groups)
