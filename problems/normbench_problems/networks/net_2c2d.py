"""2c2d: two convolutions and two dense layers for 28×28 grey images.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import Chain, Flatten, NormLayer, build


def net_2c2d(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
) -> Net2c2d:
    """Return 2c2d: (N, 1, 28, 28) to (N, classes) logits.

    Convolutions 5×5 (same) to 32 and 64 channels, each followed by ReLU and a 2×2 maximum, then
    dense layers of 1024 and *classes* units. Sides of the maps: 28, 14, 14, 7. Norm sites 0 to 2
    lie between each layer but the last and its ReLU. Without norm 3 274 634 parameters for 10
    classes.

    Weights start from N(0, 0.05²) cut off at two standard deviations, biases at 0.05.
    """
    return build(partial(Net2c2d, classes=classes), sites, norm_layer, bias)


class Net2c2d(Chain):
    """The network of :func:`net_2c2d`."""

    def __init__(self, sites: Sites, classes: int) -> None:
        super().__init__()
        self.add_site(sites, "conv1", nn.Conv2d(1, 32, 5, padding=2), nn.ReLU())
        self.add_module("pool1", nn.MaxPool2d(2))
        self.add_site(sites, "conv2", nn.Conv2d(32, 64, 5, padding=2), nn.ReLU())
        self.add_module("pool2", nn.MaxPool2d(2))
        self.add_module("flatten", Flatten())
        self.add_site(sites, "dense1", nn.Linear(3136, 1024), nn.ReLU())
        self.add_module("dense2", nn.Linear(1024, classes))

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.05, a=-0.1, b=0.1)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.05)
