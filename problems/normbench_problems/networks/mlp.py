"""A perceptron of four layers for 28×28 grey images.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import Chain, Flatten, NormLayer, build

WIDTHS = (784, 1000, 500, 100)


def mlp(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
) -> Mlp:
    """Return the perceptron: (N, 1, 28, 28) to (N, classes) logits.

    Dense layers of 1000, 500, 100 and *classes* units with ReLU between. Norm sites 0 to 2 lie
    between each layer but the last and its ReLU. Without norm 1 336 610 parameters for 10 classes.

    Weights start from N(0, 0.03²) cut off at two standard deviations, biases at 0.
    """
    return build(partial(Mlp, classes=classes), sites, norm_layer, bias)


class Mlp(Chain):
    """The network of :func:`mlp`."""

    def __init__(self, sites: Sites, classes: int) -> None:
        super().__init__()
        self.add_module("flatten", Flatten())
        for number, (inputs, outputs) in enumerate(pairwise(WIDTHS), start=1):
            self.add_site(sites, f"dense{number}", nn.Linear(inputs, outputs), nn.ReLU())
        self.add_module("dense4", nn.Linear(WIDTHS[-1], classes))

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.03, a=-0.06, b=0.06)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
