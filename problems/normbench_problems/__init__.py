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
    from normbench_problems.networks.digits_cnn import digits_cnn
    from normbench_problems.networks.net_2c2d import net_2c2d
    from normbench_problems.networks.net_3c3d import net_3c3d
    from normbench_problems.networks.quadratic import quadratic
    from normbench_problems.networks.resnet import resnet18, resnet20, resnet56
    from normbench_problems.networks.vae import vae

__all__ = [
    "allcnnc",
    "digits_cnn",
    "net_2c2d",
    "net_3c3d",
    "quadratic",
    "resnet18",
    "resnet20",
    "resnet56",
    "vae",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from normbench_problems.networks.table import NETWORKS

    return next(network.load() for network in NETWORKS if network.name == name)
