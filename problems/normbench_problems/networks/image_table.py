"""The networks for colour images: residual, wide residual, plain and VGG; free of torch."""

from __future__ import annotations

from normbench import Network, Parameter, Source
from normbench_problems.networks.parameters import bias, classes, init

_PLAIN = Source(
    title="Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning, "
    "Lubana, Dick and Tanaka, NeurIPS 2021",
    reference="arXiv:2106.05956",
    licence="MIT",
)
_WRN = Source(
    title="Wide Residual Networks, Zagoruyko and Komodakis, BMVC 2016",
    reference="arXiv:1605.07146",
    deviations=(
        "Initial values are DeepOBS's (arXiv:1903.05499).",
        "Strided 3x3 convolutions pad both sides alike; DeepOBS pads right and below.",
    ),
)


def _width(default: int) -> Parameter:
    return Parameter(
        name="width",
        kind="int",
        default=default,
        summary="channels of the first stage; each later one has twice as many",
        unit="channels",
        low=1,
    )


_SHAPE = (
    Parameter(
        name="stem",
        kind="str",
        default="small",
        summary="small: 3x3 convolution at stride 1; large: 7x7 at stride 2 and a 3x3 maximum at "
        "stride 2, for images of 224 pixels",
        choices=("small", "large"),
    ),
    init("torch"),
    Parameter(
        name="shortcut",
        kind="str",
        default="projection",
        summary="where the shape changes: 1x1 convolution and norm, 3x3 convolution and norm, 1x1 "
        "without norm, or 1x1 behind the block's first activation (activation_order=pre)",
        choices=("projection", "conv3x3", "projection_without_norm", "preactivated"),
    ),
    Parameter(
        name="activation_order",
        kind="str",
        default="post",
        summary="post: conv, norm, activation; pre: norm, activation, conv; before_norm: conv, "
        "activation, norm, and a stem without activation",
        choices=("post", "pre", "before_norm"),
    ),
    Parameter(
        name="final_norm",
        kind="bool",
        default=True,
        summary="with activation_order=pre: norm and activation follow the last block",
    ),
    Parameter(
        name="skip_init",
        kind="bool",
        default=False,
        summary="a trained number that starts at 0 multiplies each residual (arXiv:2002.10444)",
    ),
    Parameter(
        name="zero_last_scale",
        kind="bool",
        default=False,
        summary="γ of the last norm of each residual starts at 0",
    ),
)


def _resnet(name: str, blocks: str, sites: int, width: int) -> Network:
    return Network(
        name=name,
        summary=f"ResNet-{name.removeprefix('resnet')}: {blocks}, {sites} norm sites",
        source=Source(
            title="Deep Residual Learning for Image Recognition, He et al., CVPR 2016",
            reference="arXiv:1512.03385",
            deviations=(
                "Shortcuts that change the shape are 1x1 convolutions with a norm, and initial "
                "values are torch's own, as in arXiv:2006.13382.",
                "Bottlenecks have their stride at the 3x3 convolution, as torchvision's.",
            ),
        ),
        parameters=(classes(10), bias("never"), _width(width), *_SHAPE),
        factory=f"normbench_problems.networks.resnet:{name}",
    )


def _wrn(depth: int, sites: int) -> Network:
    name = f"wrn_{depth}_4"
    return Network(
        name=name,
        summary=f"WRN-{depth}-4: wide residual network with pre-activation, {sites} norm sites",
        source=_WRN,
        parameters=(classes(10), bias("never"), init("xavier_uniform")),
        factory=f"normbench_problems.networks.wrn:{name}",
    )


def _plain(depth: int) -> Network:
    return Network(
        name=f"plain{depth}",
        summary=f"plain CNN of {depth} convolutions, {depth} norm sites",
        source=_PLAIN,
        parameters=(classes(10), bias("weight_norms_only"), init("kaiming_conv")),
        factory=f"normbench_problems.networks.plain:plain{depth}",
    )


def _vgg(name: str, summary: str, default_bias: str, default_init: str, deviation: str) -> Network:
    return Network(
        name=name,
        summary=summary,
        source=Source(
            title="Very Deep Convolutional Networks for Large-Scale Image Recognition, Simonyan "
            "and Zisserman, ICLR 2015",
            reference="arXiv:1409.1556",
            deviations=(deviation,),
        ),
        parameters=(classes(10), bias(default_bias), init(default_init)),
        factory=f"normbench_problems.networks.vgg:{name}",
    )


_RESIZED = "Images are resized to 224 pixels in the network; initial values are DeepOBS's."

IMAGE_NETWORKS: tuple[Network, ...] = (
    _resnet("resnet20", "3 stages of 3 blocks", 21, 16),
    _resnet("resnet56", "3 stages of 9 blocks", 57, 16),
    _resnet("resnet18", "4 stages of 2 blocks", 20, 64),
    _resnet("resnet34", "4 stages of 3 to 6 blocks", 36, 64),
    _resnet("resnet50", "4 stages of 3 to 6 bottlenecks", 53, 64),
    _resnet("resnet101", "4 stages of 3 to 23 bottlenecks", 104, 64),
    _resnet("resnet152", "4 stages of 3 to 36 bottlenecks", 155, 64),
    _wrn(16, 13),
    _wrn(40, 37),
    _plain(10),
    _plain(20),
    _plain(40),
    _vgg(
        "vgg16",
        "VGG-16 for 32x32 images, 13 norm sites",
        "never",
        "torch",
        "One dense layer instead of three and no dropout, as in arXiv:2006.13382.",
    ),
    _vgg(
        "vgg16_224",
        "VGG-16 at 224x224 pixels with dropout, 15 norm sites",
        "unless_centred",
        "xavier",
        _RESIZED,
    ),
    _vgg(
        "vgg19_224",
        "VGG-19 at 224x224 pixels with dropout, 18 norm sites",
        "unless_centred",
        "xavier",
        _RESIZED,
    ),
)
