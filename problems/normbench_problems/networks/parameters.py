"""Parameters that several networks declare in their tables; free of torch."""

from __future__ import annotations

from normbench import Parameter


def classes(default: int) -> Parameter:
    """Return the number of classes."""
    return Parameter(
        name="classes", kind="int", default=default, summary="number of classes", low=1
    )


def bias(default: str) -> Parameter:
    """Return the bias policy."""
    return Parameter(
        name="bias",
        kind="str",
        default=default,
        summary="which layers before a norm site have a bias",
        choices=(
            "unless_centred",
            "unless_centred_dense",
            "always",
            "never",
            "weight_norms_only",
        ),
    )


def init(default: str) -> Parameter:
    """Return the initial values."""
    return Parameter(
        name="init",
        kind="str",
        default=default,
        summary="initial values: torch's own, or those of arXiv:2110.13989 (kaiming), "
        "arXiv:2106.05956 (kaiming_conv), torchvision (kaiming_fan_out), Keras, or DeepOBS's VGG "
        "(xavier) and WRN (xavier_uniform)",
        choices=(
            "torch",
            "kaiming",
            "kaiming_conv",
            "kaiming_fan_out",
            "keras",
            "xavier",
            "xavier_uniform",
        ),
    )
