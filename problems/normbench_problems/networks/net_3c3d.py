"""3c3d: three convolutions and three dense layers for CIFAR.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import Chain, Flatten, NormLayer, build


def net_3c3d(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
) -> Net3c3d:
    """Return 3c3d: (N, 3, 32, 32) to (N, classes) logits.

    Convolutions 5×5 to 64 channels (valid), 3×3 to 96 (valid), 3×3 to 128 (same), each followed by
    ReLU and a 3×3 maximum at stride 2, then dense layers of 512, 256 and *classes* units. Sides of
    the maps: 28, 14, 12, 6, 6, 3. Norm sites 0 to 4 lie between each layer but the last and its
    ReLU. Without norm 895 210 parameters for 10 classes, 918 340 for 100.

    Convolutions start Xavier normal, dense layers Xavier uniform, biases at 0.

    Deviation: the maximum ignores padded cells, as TensorFlow's does; DeepOBS's PyTorch code pads
    with zeros. After ReLU the two are equal.
    """
    return build(partial(Net3c3d, classes=classes), sites, norm_layer, bias)


class Net3c3d(Chain):
    """The network of :func:`net_3c3d`."""

    def __init__(self, sites: Sites, classes: int) -> None:
        super().__init__()
        self.add_site(sites, "conv1", nn.Conv2d(3, 64, 5), nn.ReLU())
        self.add_module("pool1", _same_maximum())
        self.add_site(sites, "conv2", nn.Conv2d(64, 96, 3), nn.ReLU())
        self.add_module("pool2", _same_maximum())
        self.add_site(sites, "conv3", nn.Conv2d(96, 128, 3, padding=1), nn.ReLU())
        self.add_module("pool3", _same_maximum())
        self.add_module("flatten", Flatten())
        self.add_site(sites, "dense1", nn.Linear(1152, 512), nn.ReLU())
        self.add_site(sites, "dense2", nn.Linear(512, 256), nn.ReLU())
        self.add_module("dense3", nn.Linear(256, classes))

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_normal_(layer.weight)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _same_maximum() -> nn.MaxPool2d:
    # On maps of even side SAME padding is one cell right and below, which ceil_mode reaches without
    # a padded copy.
    return nn.MaxPool2d(3, 2, ceil_mode=True)
