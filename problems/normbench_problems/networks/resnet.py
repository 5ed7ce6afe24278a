"""Residual networks for small and large images, from ResNet-18 to ResNet-152.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385.
Pre-activation: Identity Mappings in Deep Residual Networks, by the same authors, ECCV 2016,
arXiv:1603.05027. By default shortcuts and initial values are those of Spherical Perspective on
Learning with Normalization Layers (Roburin et al., arXiv:2006.13382): a projection and a norm where
the shape changes, and torch's own initial values. Bottlenecks have their stride at the 3×3
convolution, as torchvision's do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from normbench import Sites, UsageError
from normbench_problems.networks.building import NormLayer, build
from normbench_problems.networks.residual import Architecture
from normbench_problems.networks.residual_network import ResNet

_PARAMETERS = """
    Args:
        sites: The harness's norm sites.
        norm_layer: Without *sites*: called with the number of features at each site.
        classes: Number of classes.
        bias: Policy for biases of the convolutions at norm sites; others have none.
        width: Channels of the first stage; each later one has twice as many.
        stem: ``small``: 3×3 convolution at stride 1. ``large``: 7×7 at stride 2, then a 3×3 maximum
            at stride 2 behind the activation, for images of 224 pixels.
        init: Initial values: ``torch``, torch's own; ``kaiming``, of arXiv:2110.13989;
            ``kaiming_conv``, of arXiv:2106.05956; ``kaiming_fan_out``, torchvision's; ``keras``,
            he_normal and glorot_uniform; ``xavier`` and ``xavier_uniform``, DeepOBS's.
        shortcut: Where the shape changes. ``projection``: 1×1 convolution and norm. ``conv3x3``:
            3×3 convolution and norm. ``projection_without_norm``. ``preactivated``: 1×1 convolution
            behind the block's first norm and activation, in pre-activation only.
        activation_order: ``post``: conv, norm, activation. ``pre``: norm, activation, conv, and
            nothing behind the sum; the norm of a shortcut comes before its convolution.
            ``before_norm``: conv, activation, norm, and a stem without activation.
        final_norm: In pre-activation: whether norm and activation follow the last block.
        skip_init: Whether a number that is trained and starts at 0 multiplies each residual.
        zero_last_scale: Whether the scale γ of the last norm of each residual starts at 0, where
            that norm has one.

    Raises:
        UsageError: If a word is unknown, or two do not fit each other.
"""


def _family(
    name: str, depths: tuple[int, ...], *, width: int, bottleneck: bool = False, summary: str
) -> Callable[..., ResNet]:
    """Return the function *name*, which builds the network of these depths."""
    default_width = width

    def network(
        sites: Sites | None = None,
        *,
        norm_layer: NormLayer | None = None,
        classes: int = 10,
        bias: str = "never",
        width: int = default_width,
        stem: str = "small",
        init: str = "torch",
        shortcut: str = "projection",
        activation_order: str = "post",
        final_norm: bool = True,
        skip_init: bool = False,
        zero_last_scale: bool = False,
    ) -> ResNet:
        if activation_order == "before_norm" and bias not in ("never", "weight_norms_only"):
            raise UsageError(
                f"bias={bias} does not fit activation_order=before_norm: behind an activation no "
                "norm makes a bias redundant. Give bias=never or bias=weight_norms_only."
            )
        architecture = Architecture(
            depths=depths,
            bottleneck=bottleneck,
            classes=classes,
            width=width,
            stem_width=width,
            stem=stem,
            init=init,
            shortcut=shortcut,
            activation_order=activation_order,
            final_norm=final_norm,
            skip_init=skip_init,
            zero_last_scale=zero_last_scale,
        )
        return build(partial(ResNet, architecture=architecture), sites, norm_layer, bias)

    network.__name__ = network.__qualname__ = name
    network.__doc__ = f"{summary}\n{_PARAMETERS}"
    return network


resnet20 = _family(
    "resnet20",
    (3, 3, 3),
    width=16,
    summary="""Return ResNet-20: (N, 3, 32, 32) to (N, classes) logits.

    A 3×3 convolution to *width* channels, three stages of three basic blocks with 1, 2 and 4 times
    as many at strides 1, 2 and 2, the mean over the positions, and a dense layer. A block is
    ReLU(norm(conv(ReLU(norm(conv(x))))) + shortcut(x)); the shortcut is x itself, or norm(1×1 conv)
    where the shape changes. 21 norm sites; a shortcut's comes after its block's own two. With batch
    normalization 272 474 parameters for 10 classes.
""",
)
resnet56 = _family(
    "resnet56",
    (9, 9, 9),
    width=16,
    summary="""Return ResNet-56: as :func:`resnet20`, with nine blocks in each stage.

    57 norm sites. With batch normalization 855 770 parameters for 10 classes. The network of Beyond
    BatchNorm (arXiv:2106.05956) is *width* 32 with *shortcut* ``conv3x3``: 3 505 924 parameters for
    100 classes.
""",
)
resnet18 = _family(
    "resnet18",
    (2, 2, 2, 2),
    width=64,
    summary="""Return ResNet-18: as :func:`resnet20`, with four stages of two blocks.

    20 norm sites. With batch normalization 11 173 962 parameters for 10 classes, and 11 689 512
    with a large stem for 1000.
""",
)
resnet34 = _family(
    "resnet34",
    (3, 4, 6, 3),
    width=64,
    summary="""Return ResNet-34: as :func:`resnet20`, with four stages of 3, 4, 6 and 3 blocks.

    36 norm sites. With batch normalization 21 282 122 parameters for 10 classes.
""",
)
resnet50 = _family(
    "resnet50",
    (3, 4, 6, 3),
    width=64,
    bottleneck=True,
    summary="""Return ResNet-50: four stages of 3, 4, 6 and 3 bottlenecks.

    A bottleneck has convolutions 1×1, 3×3 and 1×1 with a norm each, the last with four times the
    channels; all else is as in :func:`resnet20`. 53 norm sites. With batch normalization 23 520 842
    parameters for 10 classes, and 25 557 032 with a large stem for 1000.
""",
)
resnet101 = _family(
    "resnet101",
    (3, 4, 23, 3),
    width=64,
    bottleneck=True,
    summary="""Return ResNet-101: as :func:`resnet50`, with 3, 4, 23 and 3 bottlenecks.

    104 norm sites. With batch normalization 42 512 970 parameters for 10 classes.
""",
)
resnet152 = _family(
    "resnet152",
    (3, 8, 36, 3),
    width=64,
    bottleneck=True,
    summary="""Return ResNet-152: as :func:`resnet50`, with 3, 8, 36 and 3 bottlenecks.

    155 norm sites. With batch normalization 58 156 618 parameters for 10 classes.
""",
)
