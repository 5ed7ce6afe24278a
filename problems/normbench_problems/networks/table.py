"""The networks that come with normbench; free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Network, Parameter, Source, hookimpl
from normbench_problems.networks.deepobs_table import DEEPOBS_NETWORKS
from normbench_problems.networks.image_table import IMAGE_NETWORKS
from normbench_problems.networks.parameters import bias, classes

_DEEPOBS = Source(
    title="DeepOBS, Schneider, Balles and Hennig, ICLR 2019",
    reference="arXiv:1903.05499",
    licence="MIT",
)


NETWORKS: tuple[Network, ...] = (
    Network(
        name="digits_cnn",
        summary="2 convolutions and 2 dense layers for 8x8 images, 3 norm sites",
        source=Source(title="normbench"),
        parameters=(classes(10), bias("unless_centred")),
        factory="normbench_problems.networks.digits_cnn:digits_cnn",
    ),
    Network(
        name="net_2c2d",
        summary="2 convolutions and 2 dense layers for 28x28 images, 3 norm sites",
        source=_DEEPOBS,
        parameters=(classes(10), bias("unless_centred")),
        factory="normbench_problems.networks.net_2c2d:net_2c2d",
    ),
    Network(
        name="net_3c3d",
        summary="3 convolutions and 3 dense layers for 32x32 images, 5 norm sites",
        source=Source(
            title=_DEEPOBS.title,
            reference=_DEEPOBS.reference,
            licence=_DEEPOBS.licence,
            deviations=(
                "Cells padded before a maximum count for nothing, as in the TensorFlow original.",
            ),
        ),
        parameters=(classes(10), bias("unless_centred")),
        factory="normbench_problems.networks.net_3c3d:net_3c3d",
    ),
    Network(
        name="allcnnc",
        summary="All-CNN-C: 9 convolutions with dropout for 32x32 images, 8 norm sites",
        source=Source(
            title="Striving for Simplicity: The All Convolutional Net, Springenberg et al. 2015",
            reference="arXiv:1412.6806",
            deviations=("Padding, dropout and initial values as in DeepOBS (arXiv:1903.05499).",),
        ),
        parameters=(
            classes(100),
            bias("unless_centred"),
            Parameter(
                name="bias_init", kind="float", default=0.1, summary="initial value of every bias"
            ),
        ),
        factory="normbench_problems.networks.allcnnc:allcnnc",
    ),
    *DEEPOBS_NETWORKS,
    *IMAGE_NETWORKS,
    Network(
        name="vae",
        summary="convolutional variational autoencoder for 28x28 images, 6 norm sites",
        source=Source(
            title=_DEEPOBS.title,
            reference=_DEEPOBS.reference,
            licence=_DEEPOBS.licence,
            deviations=(
                "Dropout and cropping of transposed convolutions are the TensorFlow original's; "
                "the PyTorch code has one dropout more and crops one pixel elsewhere.",
            ),
        ),
        parameters=(bias("unless_centred"),),
        factory="normbench_problems.networks.vae:vae",
    ),
    Network(
        name="quadratic",
        summary="a point in 100 dimensions and its quadratic loss, no norm sites",
        source=Source(
            title=_DEEPOBS.title,
            reference=_DEEPOBS.reference,
            licence=_DEEPOBS.licence,
            deviations=(
                "The matrix is that of the first problem built in a DeepOBS 1.2 process, whatever "
                "was built before.",
            ),
        ),
        parameters=(
            Parameter(
                name="rotation",
                kind="str",
                default="fresh",
                summary="eigenvectors: drawn anew from seed 42 (DeepOBS 1.2), or after the "
                "eigenvalues (DeepOBS 1.1 and its published baselines)",
                choices=("fresh", "continued"),
            ),
        ),
        factory="normbench_problems.networks.quadratic:quadratic",
    ),
)


@hookimpl
def normbench_networks() -> Sequence[Network]:
    """Offer the networks of this package."""
    return NETWORKS
