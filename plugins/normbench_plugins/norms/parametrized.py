"""What norms that act on weights have in common.

Such a norm computes the weight that a layer uses, W', from the weight W that is trained. It sits on
the layer as a torch parametrization, so ``layer.weight`` is W' and
``layer.parametrizations.weight.original`` is W.
"""

from __future__ import annotations

from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench import Site, UsageError

_Layer = TypeVar("_Layer", bound=nn.Module)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


class WeightParametrization(nn.Module):
    """W' = f(W), computed for each output channel from that channel's numbers alone.

    A subclass defines ``compute(weight, dims)``. Statistics are taken in float32, or in float64
    where the weight is float64; the result has the weight's dtype and memory format.

    Shapes: (O, I, ...) of linear layers and convolutions with O output channels; (I, O/G, ...) of
    transposed convolutions with *transposed_groups* G.

    Args:
        features: O.
        transposed_groups: Groups of a transposed convolution, whose weight has its output channels
            in dimension 1; 0 for all other layers.
    """

    def __init__(self, features: int, *, transposed_groups: int = 0) -> None:
        super().__init__()
        self.features = features
        self.transposed_groups = transposed_groups

    @classmethod
    def of(cls, layer: nn.Module, **parameters: float) -> Self:
        """Return the parametrization that fits the weight of *layer*, without putting it there.

        Raises:
            UsageError: If *layer* is neither linear nor a convolution.
        """
        if not isinstance(layer, _LAYERS):
            raise UsageError(
                f"{cls.__name__} received a layer of type {type(layer).__name__}: expected a "
                "linear layer or a convolution. Put it on one of those."
            )
        if isinstance(layer, nn.Linear):
            return cls(layer.out_features, **parameters)
        groups = layer.groups if isinstance(layer, _TRANSPOSED) else 0
        return cls(layer.out_channels, transposed_groups=groups, **parameters)

    @classmethod
    def apply_to(cls, layer: _Layer, **parameters: float) -> _Layer:
        """Put the norm on the weight of *layer* and return the layer.

        ``torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")`` takes it off again
        and leaves W' in its place.

        Args:
            layer: A linear layer or a convolution, transposed or not.
            parameters: Of the constructor, without the number of features.

        Raises:
            UsageError: If *layer* is neither.
        """
        parametrize.register_parametrization(layer, "weight", cls.of(layer, **parameters))
        return layer

    @property
    def invariant_groups(self) -> int | None:
        """Output channels that may be rescaled one by one; None for a transposed convolution.

        There they do not lie in the first dimension, where the harness counts them.
        """
        return None if self.transposed_groups else self.features

    def forward(self, weight: Tensor) -> Tensor:
        """Return W' for the trained *weight*."""
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        if not self.transposed_groups:
            return self.compute(wide, tuple(range(1, wide.ndim))).to(weight.dtype)
        grouped = wide.unflatten(0, (self.transposed_groups, -1))
        dims = (1, *range(3, grouped.ndim))
        return self.compute(grouped, dims).flatten(0, 1).to(weight.dtype)

    def compute(self, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Return W', with *dims* those that an output channel extends over."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return the number of output channels for the printed module."""
        return f"{self.features}"


def centred(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return *weight* minus its mean over *dims*."""
    return weight - weight.mean(dims, keepdim=True)


def inverse_length(weight: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """Return 1/(‖W‖ + eps) over *dims*, which are kept; its gradient is 0 where W is."""
    return (torch.linalg.vector_norm(weight, dim=dims, keepdim=True) + eps).reciprocal()


def layer_acted_on(site: Site, norm: str) -> nn.Module:
    """Return the layer whose weight *norm* acts on at *site*.

    Raises:
        UsageError: If no layer meets the site, as behind a sum or at the input.
    """
    layer = site.feeds if site.layer is None else site.layer
    if layer is None:
        raise UsageError(
            f"norm {norm} acts on the weight of the layer at its site, but site {site.index} "
            f"({site.kind}, {site.features} channels) has none. Leave it out: put 0 in place "
            f"{site.index + 1} of --sites."
        )
    return layer
