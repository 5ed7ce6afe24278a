"""Logistic regression on 28×28 grey images: one dense layer.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import Chain, Flatten, build


def logreg(sites: Sites | None = None, *, classes: int = 10) -> Logreg:
    """Return logistic regression: (N, 1, 28, 28) to (N, classes) logits.

    No norm sites. 7850 parameters for 10 classes, all of which start at 0.
    """
    return build(partial(Logreg, classes=classes), sites, None, "always")


class Logreg(Chain):
    """The network of :func:`logreg`."""

    def __init__(self, sites: Sites, classes: int) -> None:  # noqa: ARG002 - it has none
        super().__init__()
        self.add_module("flatten", Flatten())
        self.add_module("dense", nn.Linear(784, classes))

    def initialise(self, layer: nn.Module) -> None:
        """Set the initial values of one layer."""
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
