"""The original networks of DeepOBS 1.2, as ``deepobs:NAME``, to compare ours with.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499, MIT. Its networks are trained here under normbench's protocol on normbench's data;
they have no norm sites. The variational autoencoder and the quadratic are not offered: their losses
are computed outside their networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Metric, Network, Parameter, Problem, Source, Training, hookimpl
from normbench_plugins.bridges.packages import folder_of, release_of

PREFIX = "deepobs"
_SOURCE = Source(
    title="DeepOBS, Schneider, Balles and Hennig, ICLR 2019",
    reference="arXiv:1903.05499",
    licence="MIT",
    deviations=("Data, augmentation, split and evaluation are normbench's.",),
)
_AUGMENTATION = ("pad_crop:2", "flip", "colour_jitter")
# Name: network, classes, batch size, epochs, L2 coefficient, augmentation.
_PROBLEMS: dict[str, tuple[str, int, int, int, float, tuple[str, ...]]] = {
    "mnist_logreg": ("logreg", 10, 128, 50, 0.0, ()),
    "mnist_mlp": ("mlp", 10, 128, 100, 0.0, ()),
    "mnist_2c2d": ("2c2d", 10, 128, 100, 0.0, ()),
    "fmnist_mlp": ("mlp", 10, 128, 100, 0.0, ()),
    "fmnist_2c2d": ("2c2d", 10, 128, 100, 0.0, ()),
    "cifar10_3c3d": ("3c3d", 10, 128, 100, 2e-3, _AUGMENTATION),
    "cifar100_3c3d": ("3c3d", 100, 128, 100, 2e-3, _AUGMENTATION),
    "cifar100_allcnnc": ("allcnnc", 100, 256, 350, 5e-4, _AUGMENTATION),
    "svhn_wrn164": ("wrn164", 10, 128, 160, 5e-4, ("pad_crop:2", "colour_jitter")),
}
_NETWORKS = {
    "logreg": "one dense layer for 28x28 images",
    "mlp": "784-1000-500-100-10 perceptron",
    "2c2d": "2 convolutions and 2 dense layers for 28x28 images",
    "3c3d": "3 convolutions and 3 dense layers for 32x32 images",
    "allcnnc": "All-CNN-C for 32x32 images, 100 classes",
    "wrn164": "wide ResNet 16-4 with batch norm of momentum 0.9, for 32x32 images",
}


@hookimpl
def normbench_networks() -> Sequence[Network]:
    """Offer DeepOBS's networks for classification."""
    return tuple(_network(name) for name in _NETWORKS) if folder_of(PREFIX) else ()


@hookimpl
def normbench_problems() -> Sequence[Problem]:
    """Offer DeepOBS's test problems of classification, under its names."""
    return tuple(_problem(name) for name in _PROBLEMS) if folder_of(PREFIX) else ()


def _network(name: str) -> Network:
    classes = Parameter(name="classes", kind="int", default=10, summary="number of classes", low=1)
    return Network(
        name=f"{PREFIX}:{name}",
        summary=f"DeepOBS's own {_NETWORKS[name]}",
        version=release_of(PREFIX),
        source=_SOURCE,
        parameters=(classes,) if name != "allcnnc" else (),
        factory=f"normbench_plugins.bridges.deepobs_networks:net_{name}",
    )


def _problem(name: str) -> Problem:
    network, classes, batch_size, epochs, decay, augmentation = _PROBLEMS[name]
    return Problem(
        name=f"{PREFIX}:{name}",
        summary=f"DeepOBS's own network {network} on {name.partition('_')[0]}",
        version=release_of(PREFIX),
        source=_SOURCE,
        factory="normbench.tasks:Classification",
        dataset=name.partition("_")[0],
        network=f"{PREFIX}:{network}",
        network_parameters={} if network == "allcnnc" else {"classes": classes},
        training=Training(
            batch_size=batch_size, epochs=epochs, weight_decay=decay, augmentation=augmentation
        ),
        metric=Metric(
            name="test_accuracy", direction="max", worst=1 / classes, smallest_difference=0.005
        ),
    )
