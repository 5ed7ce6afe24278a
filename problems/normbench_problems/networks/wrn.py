"""Wide residual networks with pre-activation: WRN-16-4 and WRN-40-4.

Wide Residual Networks. Zagoruyko, Komodakis. BMVC 2016, arXiv:1605.07146. Initial values as in
DeepOBS (Schneider, Balles, Hennig, arXiv:1903.05499).
"""

from __future__ import annotations

from functools import partial

from normbench import Sites
from normbench_problems.networks.building import NormLayer, build
from normbench_problems.networks.residual import Architecture
from normbench_problems.networks.residual_network import ResNet


def wrn_16_4(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    init: str = "xavier_uniform",
) -> ResNet:
    """Return WRN-16-4: (N, 3, 32, 32) to (N, classes) logits.

    A 3×3 convolution to 16 channels, three stages of two blocks with 64, 128 and 256 channels at
    strides 1, 2 and 2, norm and ReLU, the mean over the 8×8 positions, and a dense layer. A block
    is conv(ReLU(norm(conv(ReLU(norm(x)))))) + shortcut(x); the shortcut is x itself, or a 1×1
    convolution of the block's ReLU(norm(x)) where the shape changes. 13 norm sites, the last before
    the mean. With batch normalization 2 748 890 parameters for 10 classes, 2 772 020 for 100.

    Weights start Xavier uniform, the bias of the dense layer at 0.
    """
    return _wrn(sites, norm_layer, bias, 2, classes, init)


def wrn_40_4(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    init: str = "xavier_uniform",
) -> ResNet:
    """Return WRN-40-4: as :func:`wrn_16_4`, with six blocks in each stage and 37 norm sites.

    With batch normalization 8 972 340 parameters for 100 classes.
    """
    return _wrn(sites, norm_layer, bias, 6, classes, init)


def _wrn(
    sites: Sites | None,
    norm_layer: NormLayer | None,
    bias: str,
    depth: int,
    classes: int,
    init: str,
) -> ResNet:
    architecture = Architecture(
        depths=(depth, depth, depth),
        classes=classes,
        width=64,
        stem_width=16,
        stem_norm=False,
        init=init,
        shortcut="preactivated",
        activation_order="pre",
    )
    return build(partial(ResNet, architecture=architecture), sites, norm_layer, bias)
