"""Residual blocks: the shape, the order and the shortcut that published networks give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Role, Sites, UsageError
from normbench_problems.networks.building import check_choice
from normbench_problems.networks.initial_values import INITS

ORDERS = ("post", "pre", "before_norm")
SHORTCUTS = ("projection", "conv3x3", "projection_without_norm", "preactivated")
STEMS = ("small", "large")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What tells one residual network from another; the words are those of :func:`resnet20`.

    Attributes:
        depths: Blocks in each stage.
        bottleneck: Whether a block is 1×1, 3×3, 1×1 with four times the channels at its end.
        stem_width: Channels of the stem.
        stem_norm: Whether norm and activation follow the stem's convolution.
    """

    depths: tuple[int, ...]
    bottleneck: bool = False
    classes: int = 10
    width: int = 16
    stem_width: int = 16
    stem: str = "small"
    stem_norm: bool = True
    init: str = "torch"
    shortcut: str = "projection"
    activation_order: str = "post"
    final_norm: bool = True
    skip_init: bool = False
    zero_last_scale: bool = False

    def __post_init__(self) -> None:
        check_choice("init", self.init, INITS)
        check_choice("stem", self.stem, STEMS)
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        check_choice("activation_order", self.activation_order, ORDERS)
        pre = self.activation_order == "pre"
        if self.shortcut == "preactivated" and not pre:
            raise UsageError(
                f"shortcut=preactivated does not fit activation_order={self.activation_order}: it "
                "starts behind a block's first norm and activation. Give activation_order=pre."
            )
        if not self.final_norm and not pre:
            raise UsageError(
                f"final_norm=false does not fit activation_order={self.activation_order}: there is "
                "no norm behind the last block. Leave it out, or give activation_order=pre."
            )
        if self.zero_last_scale and pre:
            raise UsageError(
                "zero_last_scale=true does not fit activation_order=pre: no norm comes last in "
                "its blocks. Give skip_init=true, whose factor starts at 0 as well."
            )


class SkipGain(nn.Module):
    """Multiply by one number that is trained and starts at 0.

    SkipInit. Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep
    Networks. De, Smith. NeurIPS 2020, arXiv:2002.10444.
    """

    parameter_roles: ClassVar[dict[str, str]] = {"gain": Role.GAIN}

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Set the number to 0."""
        nn.init.zeros_(self.gain)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scaled *inputs*."""
        return inputs * self.gain


class Block(nn.Module):
    """activation(gain(residual(x)) + shortcut(x)), to *features* channels or four times as many.

    The residual is, with the last activation behind the sum,

    - post: conv, norm, activation, conv, norm, activation
    - before_norm: conv, activation, norm, conv, norm, activation
    - pre: norm, activation, conv, norm, activation, conv, and no activation behind the sum

    Args:
        sites: Gives the norms, the shortcut's after the block's own.
        inputs: Channels that arrive.
        features: Channels of the 3×3 convolutions.
        stride: Of the first 3×3 convolution and of the shortcut.
        architecture: Order, shortcut and gain.
        fed_by: The convolution that alone feeds the block, if there is one.
    """

    def __init__(
        self,
        sites: Sites,
        inputs: int,
        features: int,
        stride: int,
        architecture: Architecture,
        fed_by: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.outputs = 4 * features if architecture.bottleneck else features
        self.path: list[str] = []
        changes = stride != 1 or inputs != self.outputs
        self.shared = changes and architecture.shortcut == "preactivated"
        convs = _convolutions(inputs, features, stride, architecture.bottleneck)
        if architecture.activation_order == "pre":
            self._add_pre(sites, convs, fed_by if self.shared else None)
        else:
            self._add_post(sites, convs, architecture.activation_order == "before_norm")
        self.gain = SkipGain() if architecture.skip_init else nn.Identity()
        self.shortcut = nn.Sequential()
        if changes:
            self._add_shortcut(sites, inputs, stride, architecture)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        maps = inputs
        for name in self.path:
            maps = getattr(self, name)(maps)
            if self.shared and name == "activation1":
                inputs = maps
        return self.activation(self.gain(maps) + self.shortcut(inputs))  # type: ignore[no-any-return]

    def last(self) -> tuple[nn.Module, ...]:
        """Return the convolution and the norm that come last, where the norm is behind."""
        return tuple(getattr(self, name) for name in self.path[-2:])

    def _add(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self.path.append(name)

    def _add_post(self, sites: Sites, convs: Sequence[nn.Conv2d], swapped: bool) -> None:
        for number, conv in enumerate(convs[:-1], start=1):
            norm, activation = sites.after(conv, None if swapped else nn.ReLU())
            layers = {"conv": conv, "norm": norm, "activation": activation}
            if swapped:
                layers = {"conv": conv, "activation": nn.ReLU(), "norm": norm}
            for name, layer in layers.items():
                self._add(f"{name}{number}", layer)
        # In place only here: the sum is new, and no norm can have kept it.
        norm, self.activation = sites.after(convs[-1], nn.ReLU(inplace=True), joins=True)
        self._add(f"conv{len(convs)}", convs[-1])
        self._add(f"norm{len(convs)}", norm)

    def _add_pre(self, sites: Sites, convs: Sequence[nn.Conv2d], fed_by: nn.Module | None) -> None:
        for number, conv in enumerate(convs, start=1):
            norm, activation = sites.before(
                conv.in_channels, "conv", nn.ReLU(), feeds=conv, fed_by=fed_by
            )
            self._add(f"norm{number}", norm)
            self._add(f"activation{number}", activation)
            self._add(f"conv{number}", conv)
            fed_by = conv
        self.activation = nn.Identity()

    def _add_shortcut(
        self, sites: Sites, inputs: int, stride: int, architecture: Architecture
    ) -> None:
        normed = architecture.shortcut in ("projection", "conv3x3")
        kernel = 3 if architecture.shortcut == "conv3x3" else 1
        conv = nn.Conv2d(inputs, self.outputs, kernel, stride, padding=kernel // 2, bias=normed)
        if normed and architecture.activation_order == "pre":
            self.shortcut.add_module("norm", sites.before(inputs, "conv", feeds=conv)[0])
        self.shortcut.add_module("conv", conv)
        if normed and architecture.activation_order != "pre":
            self.shortcut.add_module("norm", sites.after(conv)[0])


def _convolutions(inputs: int, features: int, stride: int, bottleneck: bool) -> list[nn.Conv2d]:
    if not bottleneck:
        first = nn.Conv2d(inputs, features, 3, stride, padding=1)
        return [first, nn.Conv2d(features, features, 3, padding=1)]
    return [
        nn.Conv2d(inputs, features, 1),
        nn.Conv2d(features, features, 3, stride, padding=1),
        nn.Conv2d(features, 4 * features, 1),
    ]
