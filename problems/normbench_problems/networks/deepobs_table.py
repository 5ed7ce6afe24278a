"""Small networks of DeepOBS: for grey images, and for characters; free of torch."""

from __future__ import annotations

from normbench import Network, Parameter, Source
from normbench_problems.networks.parameters import bias, classes

_TITLE = "DeepOBS, Schneider, Balles and Hennig, ICLR 2019"
_REFERENCE = "arXiv:1903.05499"

DEEPOBS_NETWORKS: tuple[Network, ...] = (
    Network(
        name="logreg",
        summary="logistic regression: 1 dense layer for 28x28 images, no norm sites",
        source=Source(title=_TITLE, reference=_REFERENCE, licence="MIT"),
        parameters=(classes(10),),
        factory="normbench_problems.networks.logreg:logreg",
    ),
    Network(
        name="mlp",
        summary="4 dense layers for 28x28 images, 3 norm sites",
        source=Source(title=_TITLE, reference=_REFERENCE, licence="MIT"),
        parameters=(classes(10), bias("unless_centred")),
        factory="normbench_problems.networks.mlp:mlp",
    ),
    Network(
        name="char_rnn",
        summary="embedding and 2 LSTM layers for texts of characters, 3 norm sites",
        source=Source(
            title=_TITLE,
            reference=_REFERENCE,
            licence="MIT",
            deviations=(
                "Initial values and dropout are the TensorFlow original's; LSTM layers have two "
                "bias vectors, as torch's do.",
                "Norm sites, which the original lacks, lie before each LSTM layer and before the "
                "dense layer.",
            ),
        ),
        parameters=(
            classes(83),
            Parameter(
                name="dropout",
                kind="str",
                default="around_layers",
                summary="what loses a fifth: inputs and outputs of each LSTM layer (TensorFlow), "
                "or what passes between them (PyTorch)",
                choices=("around_layers", "between_layers"),
            ),
        ),
        factory="normbench_problems.networks.char_rnn:char_rnn",
    ),
)
