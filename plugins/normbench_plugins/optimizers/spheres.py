"""Spheres: the slices of a parameter that are optimized as directions, and transport along them.

Where a norm follows, rescaling such a slice changes nothing, so only its direction matters and the
slice may be thought of as a point on a sphere. Spherical Perspective on Learning with Normalization
Layers, S. Roburin, Y. de Mont-Marin, A. Bursuc, R. Marlet, P. Pérez and M. Aubry, Neurocomputing
487, 2022, arXiv:2006.13382.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from normbench import UsageError

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Spheres:
    """How a parameter splits into spheres.

    Attributes:
        view: Shape to view the parameter in.
        dims: The dimensions of that view that lie within a sphere; the others number the spheres.
        size: d, the numbers in a sphere. With d = 1 the parameter is optimized element by element,
            its view is its shape, and *dims* is empty.
    """

    view: tuple[int, ...]
    dims: tuple[int, ...]
    size: int

    def zeros_for(self, parameter: Tensor) -> Tensor:
        """Return a 0 for each sphere of *parameter*, broadcastable to the view."""
        if self.size == 1:
            return torch.zeros_like(parameter)
        return parameter.new_zeros(
            [1 if dim in self.dims else n for dim, n in enumerate(self.view)]
        )

    def view_of(self, tensor: Tensor) -> Tensor:
        """Return *tensor*, of the parameter's shape, in the view; no copy."""
        return tensor if tensor.shape == self.view else tensor.view(self.view)


@lru_cache(maxsize=4096)
def spheres_of(
    shape: tuple[int, ...],
    channel_dims: tuple[int, ...] | None,
    channel_wise: bool,
    invariance: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    has_invariances: bool = False,
) -> Spheres:
    """Return the spheres of a parameter of *shape*.

    Args:
        shape: The parameter's.
        channel_dims: Dimensions that number the spheres, in any order. ``()`` is one sphere, all
            dimensions are none: the classic, element-wise optimizer.
        channel_wise: What None for *channel_dims* means: True one sphere for each index of
            dimension 0, False element-wise.
        invariance: A view and the dimensions of it that number slices which may be rescaled.
        has_invariances: Whether *invariance* is known. The parameter is then element-wise if it has
            none, and *channel_dims*, where given, replaces the one it has.

    Raises:
        UsageError: If a dimension does not exist or stands twice.
    """
    classic = has_invariances and (invariance is None or not channel_wise)
    if not classic and channel_dims is not None:
        _check_dims(channel_dims, shape)
        return _split(shape, shape, channel_dims)
    if classic or not channel_wise:
        return Spheres(shape, (), 1)
    if invariance is not None:
        return _split(shape, *invariance)
    return _split(shape, shape, shape[:1] and (0,))


def _split(shape: tuple[int, ...], view: tuple[int, ...], numbering: tuple[int, ...]) -> Spheres:
    inside = tuple(dim for dim in range(len(view)) if dim not in numbering)
    size = prod(view[dim] for dim in inside)
    if size == 1:
        return Spheres(shape, (), 1)
    if view == (shape[0], 1, *shape[1:]) and numbering == (0,):
        return _split(shape, shape, numbering)  # the same, and spares a view at every step
    return Spheres(view, inside, size)


def _check_dims(channel_dims: tuple[int, ...], shape: tuple[int, ...]) -> None:
    fits = all(0 <= dim < len(shape) for dim in channel_dims)
    if fits and len(set(channel_dims)) == len(channel_dims):
        return
    expected = f"different dimensions from 0 to {len(shape) - 1}" if shape else "no dimensions"
    raise UsageError(
        f"channel_dims={','.join(map(str, channel_dims))} does not fit a parameter of shape "
        f"{shape}: expected {expected}. Give others, or put the parameter in a group of its own."
    )


def squared_norms(tensors: Sequence[Tensor], spheres: Sequence[Spheres]) -> list[Tensor]:
    """Return ⟨a, a⟩ of each sphere; torch's norm makes no copy, as a product and a sum would."""
    norms = [
        torch.linalg.vector_norm(tensor, dim=of.dims, keepdim=True)
        for tensor, of in zip(tensors, spheres, strict=True)
    ]
    torch._foreach_mul_(norms, norms)
    return norms


def inner_products(
    first: Sequence[Tensor], second: Sequence[Tensor], spheres: Sequence[Spheres]
) -> list[Tensor]:
    """Return ⟨a, b⟩ of each sphere."""
    products = torch._foreach_mul(first, second)
    return [
        product.sum(of.dims, keepdim=True) for product, of in zip(products, spheres, strict=True)
    ]


def inner_product(first: Tensor, second: Tensor, spheres: Spheres) -> Tensor:
    """Return ⟨a, b⟩ of each sphere of one parameter."""
    product = first * second
    return product.sum(spheres.dims, keepdim=True) if spheres.dims else product


def divisors_of(norms: Sequence[Tensor], eps: float) -> list[Tensor]:
    """Return *norms* + eps, and infinity where a norm is 0: there is no direction to keep."""
    divisors = list(torch._foreach_add(norms, eps + _TINY))
    torch._foreach_div_(divisors, torch._foreach_sign(norms))
    return divisors


def transport(
    momentum: Tensor, old: Tensor, new: Tensor, spheres: Spheres, eps: float = 0.0
) -> Tensor:
    r"""Return the momentum of a parameter that moved, rescaled and turned with it.

    .. math::
        RT(m) = \frac{\langle x, x^+ \rangle m - \langle m, x^+ \rangle x}
                     {\langle x^+, x^+ \rangle + \epsilon}

    It is orthogonal to x⁺; x itself goes to 0. A tangent m with x⁺ = x - a·m is turned within the
    plane of x and m and rescaled by ‖x‖/‖x⁺‖, as gradients of a scale-invariant loss are.

    Args:
        momentum: m, in the view of the spheres.
        old: x, likewise.
        new: x⁺, likewise.
        spheres: Where the inner products are taken over.
        eps: ε.

    Returns:
        RT(m); 0 where x⁺ is 0 and so has no direction.
    """
    along = inner_product(old, new, spheres)
    across = inner_product(momentum, new, spheres)
    (divisor,) = divisors_of([inner_product(new, new, spheres)], eps)
    return (momentum * along - across * old) / divisor


def transport_lists(
    momenta: Sequence[Tensor],
    weights: Sequence[Tensor],
    squares: Sequence[Tensor],
    divisors: Sequence[Tensor],
    spheres: Sequence[Spheres],
) -> None:
    """Transport, in place, each momentum m that its weight has just moved along, x⁺ = x - a·m.

    The terms in a of :func:`transport` then cancel, and x⁺ alone is needed:
    (⟨x⁺, x⁺⟩ m - ⟨m, x⁺⟩ x⁺) / divisor.

    Args:
        momenta: m.
        weights: x⁺.
        squares: ⟨x⁺, x⁺⟩.
        divisors: From :func:`divisors_of`.
        spheres: Of each weight.
    """
    across = inner_products(momenta, weights, spheres)
    torch._foreach_div_(across, divisors)
    torch._foreach_mul_(momenta, torch._foreach_div(squares, divisors))
    torch._foreach_addcmul_(momenta, weights, across, value=-1.0)
