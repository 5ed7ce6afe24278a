r"""Spread, rank, likeness and gradients of the activations of every layer.

Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning, E. S. Lubana,
R. P. Dick and H. Tanaka, NeurIPS 2021, arXiv:2106.05956, and its code.

Let :math:`a_i` be all numbers of example i behind an activation, :math:`\hat a_i = a_i / \lVert a_i
\rVert` (0 where :math:`a_i = 0`) and :math:`G = \hat A \hat A^T` of N examples. Then

.. math::
    \text{activation\_variance} &= \tfrac1C \sum_c \operatorname{var}_{nhw}(a_c)
        \quad \text{(unbiased)} \\
    \text{activation\_norm} &= \tfrac1N \sum_i \lVert a_i \rVert_2 \\
    \text{cosine\_similarity} &= \tfrac{1}{N (N - 1)} \sum_{i \ne j} G_{ij} \\
    \text{stable\_rank} &= \operatorname{tr} G / \lambda_{\max}(G)
        \quad (= N / \lambda_{\max} \text{ unless some } a_i = 0; \ 0 \text{ if all are})

and, with y the output of a convolution or linear layer before its norm and L the mean loss,

.. math::
    \text{channel\_std}_c &= \operatorname{std}_{nhw}(y_c) \quad \text{(unbiased)} \\
    \text{output\_std} &= \tfrac1C \sum_c \text{channel\_std}_c \\
    \text{gradient\_norm} &= \lVert \partial L / \partial y \rVert_F \propto 1/N .

Layers and activations come in forward order, shortcuts included; one that is used several times in
a pass has an entry for each use. Statistics are taken in float32, of float64 values in float64. A
network that is no longer finite gives values that are not numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normbench import SiteInfo, View

LAYERS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
    nn.Hardtanh,
)
_NONE = -1


class Activations:
    """See the module and :class:`normbench.observers.Probe`."""

    def observe(self, view: View) -> dict[str, Any]:
        """Pass the batch forward and back once through the copy, and return what was seen."""
        with _recording(view) as record:
            loss = view.scores().loss
            # Without a layer there is nothing to go back to.
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
        return record.arrays()


class _Record:
    """What hooks see in one pass."""

    def __init__(self) -> None:
        self.activations: list[tuple[str, int]] = []
        self.activation_values: list[Tensor] = []
        self.layers: list[tuple[str, int]] = []
        self.channel_stds: list[Tensor] = []
        self.gradient_norms: dict[int, Tensor] = {}
        self._channel_dim = 1

    def layer(self, name: str, site: int, module: nn.Module, _: Any, output: Tensor) -> Tensor:
        """Note the output of a layer, and pass on a copy that later operations may overwrite."""
        self._channel_dim = -1 if isinstance(module, nn.Linear) else 1
        position = len(self.layers)
        self.layers.append((name, site))
        self.channel_stds.append(channel_std(output, self._channel_dim))
        # Parameters need no gradient here, so the first layer's output is where it would end.
        output = (output if output.requires_grad else output.requires_grad_()).clone()
        output.register_hook(partial(self._gradient, position))  # type: ignore[no-untyped-call]
        return output

    def activation(self, name: str, sites: list[SiteInfo], *call: Any) -> None:
        """Note the output of an activation: the last of what a forward hook is *called* with."""
        uses = sum(seen == name for seen, _ in self.activations)
        site = sites[min(uses, len(sites) - 1)] if sites else None
        channel_dim = self._channel_dim
        if site is not None:
            channel_dim = 1 if site.kind == "conv" else -1
        self.activations.append((name, _NONE if site is None else site.index))
        self.activation_values.append(activation_values(call[-1], channel_dim))

    def arrays(self) -> dict[str, Any]:
        """Return everything as the described arrays."""
        values = torch.stack(self.activation_values) if self.activations else torch.zeros(0, 4)
        empty = torch.zeros(0)
        stds = self.channel_stds or [empty]
        gradients = [self.gradient_norms.get(i, empty.sum()) for i in range(len(self.layers))]
        lengths = [len(std) for std in self.channel_stds]
        return {
            "activation_name": _names(self.activations),
            "activation_site": _sites(self.activations),
            "activation_variance": values[:, 0],
            "activation_norm": values[:, 1],
            "cosine_similarity": values[:, 2],
            "stable_rank": values[:, 3],
            "layer_name": _names(self.layers),
            "layer_site": _sites(self.layers),
            "output_std": torch.stack([std.mean() for std in stds])[: len(self.layers)],
            "gradient_norm": torch.stack(gradients) if gradients else empty,
            "channel_layer": np.repeat(np.arange(len(lengths)), lengths),
            "channel_std": torch.cat(stds),
        }

    def _gradient(self, position: int, gradient: Tensor) -> None:
        self.gradient_norms[position] = _wide(gradient).norm().cpu()


def channel_std(values: Tensor, channel_dim: int = 1) -> Tensor:
    """Return the unbiased standard deviation of each channel, (C,)."""
    return _by_channel(values, channel_dim).var(1).sqrt()


def activation_values(values: Tensor, channel_dim: int = 1) -> Tensor:
    """Return variance, norm, cosine similarity and stable rank of activations, (4,)."""
    values = _wide(values)
    rows = values.flatten(1)
    norms = rows.norm(dim=1)
    variance = _by_channel(values, channel_dim).var(1).mean()
    return torch.stack((variance, norms.mean(), *_likeness(rows, norms)))


def _likeness(rows: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cosine of different rows, and the stable rank of the rows' directions."""
    directions = rows / torch.where(norms > 0, norms, 1)[:, None]
    if rows.is_cuda:
        # In float32 a GPU may round products to TF32.
        directions = directions.double()
    gram = directions @ directions.T
    trace, count = gram.trace(), len(gram)
    cosine = (gram.sum() - trace) / (count * (count - 1))
    if not bool(torch.isfinite(gram).all()):
        return cosine.to(rows.dtype), torch.full_like(norms[0], torch.nan)
    largest = torch.linalg.eigvalsh(gram.double())[-1]
    rank = trace / torch.where(largest > 0, largest, 1)
    return cosine.to(rows.dtype), rank.to(rows.dtype)


def _by_channel(values: Tensor, channel_dim: int) -> Tensor:
    """Return the values as (C, everything else)."""
    return _wide(values).movedim(channel_dim, 0).flatten(1)


def _wide(values: Tensor) -> Tensor:
    values = values.detach()
    return values if values.dtype == torch.float64 else values.float()


@contextmanager
def _recording(view: View) -> Iterator[_Record]:
    """Hook the copy for one pass in which only layer outputs get gradients."""
    record = _Record()
    view.network.requires_grad_(False)
    fed = {site.layer: site.index for site in view.sites if site.layer}
    followed: dict[str, list[SiteInfo]] = {}
    for site in view.sites:
        if site.activation:
            followed.setdefault(site.activation, []).append(site)
    with ExitStack() as hooks:
        for name, module in view.network.named_modules():
            if isinstance(module, LAYERS):
                hook: Any = partial(record.layer, name, fed.get(name, _NONE))
            elif name in followed or isinstance(module, ACTIVATIONS):
                hook = partial(record.activation, name, followed.get(name, []))
            else:
                continue
            hooks.callback(module.register_forward_hook(hook).remove)
        yield record


def _names(entries: list[tuple[str, int]]) -> np.ndarray:
    return np.array([name for name, _ in entries], dtype=np.str_)


def _sites(entries: list[tuple[str, int]]) -> np.ndarray:
    return np.array([site for _, site in entries], dtype=np.int64)
