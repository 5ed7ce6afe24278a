"""Ways in which published code draws the initial values of convolutions and dense layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import nn

Draw = Callable[[nn.Module], None]


def draw_torch(layer: nn.Module) -> None:
    """Leave *layer* at torch's own: uniform within ±1/√(fan-in), biases as well."""


def draw_kaiming(layer: nn.Module) -> None:
    """Revisiting Batch Normalization Initialization, Davis and Frank, arXiv:2110.13989.

    Convolutions Kaiming normal by fan-in, dense layers uniform within ±√(6/fan-in), biases 0.
    """
    draw_kaiming_conv(layer)
    if isinstance(layer, nn.Linear):
        bound = math.sqrt(6 / layer.in_features)
        nn.init.uniform_(layer.weight, -bound, bound)
        _zero_bias(layer)


def draw_kaiming_conv(layer: nn.Module) -> None:
    """Beyond BatchNorm, Lubana, Dick and Tanaka, arXiv:2106.05956.

    Convolutions Kaiming normal by fan-in with biases 0, dense layers torch's own.
    """
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        _zero_bias(layer)


def draw_kaiming_fan_out(layer: nn.Module) -> None:
    """Torchvision's: convolutions Kaiming normal by fan-out, dense layers torch's own."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        _zero_bias(layer)


def draw_keras(layer: nn.Module) -> None:
    """Keras's he_normal in convolutions and glorot_uniform in dense layers, biases 0.

    he_normal is a normal distribution cut off at two standard deviations and widened so that √(2 /
    fan-in) is what remains.
    """
    if isinstance(layer, nn.Conv2d):
        std = math.sqrt(2 / layer.weight[0].numel()) / 0.87962566103423978
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        _zero_bias(layer)
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        _zero_bias(layer)


def draw_xavier(layer: nn.Module) -> None:
    """DeepOBS's VGG: convolutions Xavier normal, dense layers Xavier uniform, biases 0."""
    if isinstance(layer, nn.Conv2d):
        nn.init.xavier_normal_(layer.weight)
        _zero_bias(layer)
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        _zero_bias(layer)


def draw_xavier_uniform(layer: nn.Module) -> None:
    """DeepOBS's WRN: convolutions and dense layers Xavier uniform, biases 0."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        _zero_bias(layer)


def _zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


INITS: Mapping[str, Draw] = {
    "torch": draw_torch,
    "kaiming": draw_kaiming,
    "kaiming_conv": draw_kaiming_conv,
    "kaiming_fan_out": draw_kaiming_fan_out,
    "keras": draw_keras,
    "xavier": draw_xavier,
    "xavier_uniform": draw_xavier_uniform,
}
