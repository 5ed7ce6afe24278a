"""The datasets, networks, tasks and test problems that come with normbench.

Its networks work without the harness; each function returns a plain ``torch.nn.Module``::

    from functools import partial
    from normbench_problems import resnet18

    network = resnet18(norm_layer=partial(torch.nn.GroupNorm, 8), classes=100)

They are imported on first use, so that listing what exists needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench_problems.networks.allcnnc import allcnnc
    from normbench_problems.networks.char_rnn import char_rnn
    from normbench_problems.networks.digits_cnn import digits_cnn
    from normbench_problems.networks.logreg import logreg
    from normbench_problems.networks.mlp import mlp
    from normbench_problems.networks.net_2c2d import net_2c2d
    from normbench_problems.networks.net_3c3d import net_3c3d
    from normbench_problems.networks.plain import plain10, plain20, plain40
    from normbench_problems.networks.quadratic import quadratic
    from normbench_problems.networks.resnet import (
        resnet18,
        resnet20,
        resnet34,
        resnet50,
        resnet56,
        resnet101,
        resnet152,
    )
    from normbench_problems.networks.vae import vae
    from normbench_problems.networks.vgg import vgg16, vgg16_224, vgg19_224
    from normbench_problems.networks.wrn import wrn_16_4, wrn_40_4

__all__ = [
    "allcnnc",
    "char_rnn",
    "digits_cnn",
    "logreg",
    "mlp",
    "net_2c2d",
    "net_3c3d",
    "plain10",
    "plain20",
    "plain40",
    "quadratic",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "vae",
    "vgg16",
    "vgg16_224",
    "vgg19_224",
    "wrn_16_4",
    "wrn_40_4",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from normbench_problems.networks.table import NETWORKS

    return next(network.load() for network in NETWORKS if network.name == name)
