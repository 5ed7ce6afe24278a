"""A small CNN for 8×8 digits: the network of normbench's own tests, examples and first runs."""

from __future__ import annotations

from functools import partial

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import Chain, Flatten, NormLayer, build


def digits_cnn(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
) -> DigitsCnn:
    """Return the digits CNN: (N, 1, 8, 8) to (N, classes) logits.

    Convolutions 3×3 at stride 2 to 16 channels and 3×3 to 32, then dense layers of 32 and *classes*
    units, with ReLU between. Sides of the maps: 4, 4. Norm sites 0 to 2 lie between each layer but
    the last and its ReLU. Without norm 21 546 parameters for 10 classes. Initial values are torch's
    own.
    """
    return build(partial(DigitsCnn, classes=classes), sites, norm_layer, bias)


class DigitsCnn(Chain):
    """The network of :func:`digits_cnn`."""

    def __init__(self, sites: Sites, classes: int) -> None:
        super().__init__()
        self.add_site(sites, "conv1", nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU())
        self.add_site(sites, "conv2", nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.add_module("flatten", Flatten())
        self.add_site(sites, "dense1", nn.Linear(512, 32), nn.ReLU())
        self.add_module("dense2", nn.Linear(32, classes))
