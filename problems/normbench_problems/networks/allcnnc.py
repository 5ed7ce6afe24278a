"""All-CNN-C: convolutions only, strides in place of pooling.

Striving for Simplicity: The All Convolutional Net. Springenberg, Dosovitskiy, Brox, Riedmiller.
ICLR 2015 workshop, arXiv:1412.6806. Padding, dropout rates and initial values as in DeepOBS
(arXiv:1903.05499).
"""

from __future__ import annotations

from functools import partial

from torch import nn

from normbench import Dropout, SamePad2d, Sites
from normbench_problems.networks.building import Chain, GlobalMean, NormLayer, build


def allcnnc(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 100,
    bias: str = "unless_centred",
    bias_init: float = 0.1,
) -> AllCnnC:
    """Return All-CNN-C: (N, 3, 32, 32) to (N, classes) logits.

    Dropout 0.2 on the input; 3×3 convolutions 96, 96, 96 at stride 2; dropout 0.5; 192, 192, 192 at
    stride 2; dropout 0.5; 3×3 to 192 (valid), 1×1 to 192, 1×1 to *classes*; mean over the 6×6
    positions. ReLU follows every convolution, the last included. Sides of the maps: 32, 32, 16, 16,
    16, 8, 6, 6, 6. Norm sites 0 to 7 lie between each convolution but the last and its ReLU.
    Without norm 1 387 108 parameters for 100 classes.

    Weights start Xavier normal, biases at *bias_init*.
    """
    make = partial(AllCnnC, classes=classes, bias_init=bias_init)
    return build(make, sites, norm_layer, bias)


class AllCnnC(Chain):
    """The network of :func:`allcnnc`."""

    def __init__(self, sites: Sites, classes: int, bias_init: float) -> None:
        super().__init__()
        self.bias_init = bias_init
        self.add_module("dropout1", Dropout(0.2))
        self.add_site(sites, "conv1", nn.Conv2d(3, 96, 3, padding=1), nn.ReLU())
        self.add_site(sites, "conv2", nn.Conv2d(96, 96, 3, padding=1), nn.ReLU())
        self.add_module("pad3", SamePad2d(3, 2))
        self.add_site(sites, "conv3", nn.Conv2d(96, 96, 3, stride=2), nn.ReLU())
        self.add_module("dropout2", Dropout(0.5))
        self.add_site(sites, "conv4", nn.Conv2d(96, 192, 3, padding=1), nn.ReLU())
        self.add_site(sites, "conv5", nn.Conv2d(192, 192, 3, padding=1), nn.ReLU())
        self.add_module("pad6", SamePad2d(3, 2))
        self.add_site(sites, "conv6", nn.Conv2d(192, 192, 3, stride=2), nn.ReLU())
        self.add_module("dropout3", Dropout(0.5))
        self.add_site(sites, "conv7", nn.Conv2d(192, 192, 3), nn.ReLU())
        self.add_site(sites, "conv8", nn.Conv2d(192, 192, 1), nn.ReLU())
        self.add_module("conv9", nn.Conv2d(192, classes, 1))
        self.add_module("conv9_activation", nn.ReLU())
        self.add_module("mean", GlobalMean())

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, self.bias_init)
