"""A recurrent network that predicts the next character: two layers of long short-term memory.

Long Short-Term Memory. Hochreiter, Schmidhuber. Neural Computation 9, 1997. Architecture of DeepOBS
(Schneider, Balles, Hennig, ICLR 2019, arXiv:1903.05499).
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from normbench import Dropout, Sites, State
from normbench_problems.networks.building import NormLayer, build, check_choice

WIDTH = 128
RATE = 0.2
DROPOUTS = ("around_layers", "between_layers")


def char_rnn(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 83,
    dropout: str = "around_layers",
) -> CharRnn:
    """Return the network: codes (N, T) and a state to (N, T, classes) logits and the next state.

    An embedding of 128 numbers, two LSTM layers of 128 units and a dense layer. Norm sites 0 to 2,
    of kind sequence, normalize what enters each LSTM layer and the dense layer. The state is
    ``hidden`` and ``cell``, (2, N, 128) each; an empty one stands for zeros. Without norm 285 523
    parameters for 83 characters.

    Embedding and dense layer start Xavier uniform, the bias of the latter uniform within
    ±√(3/classes); LSTM weights uniform within ±√(6/(128 + 128 + 4·128)), their biases at 0 but for
    the forget gates, at 1.

    Args:
        sites: The harness's norm sites.
        norm_layer: Without *sites*: called with the number of features at each norm site, for
            norms of (N, T, 128).
        classes: Number of characters.
        dropout: ``around_layers``, what enters and what leaves each LSTM layer loses a fifth, as in
            DeepOBS's TensorFlow original; ``between_layers``, what passes between them does, as in
            its PyTorch code.

    The LSTM layers and the state are float32 also where products are bfloat16.

    Deviations: TensorFlow's LSTM has one bias where torch's has two, 1024 numbers fewer in all.
    """
    make = partial(CharRnn, classes=classes, dropout=dropout)
    return build(make, sites, norm_layer, "always")


class CharRnn(nn.Module):
    """The network of :func:`char_rnn`."""

    def __init__(self, sites: Sites, classes: int, dropout: str) -> None:
        super().__init__()
        check_choice("dropout", dropout, DROPOUTS)
        around = RATE if dropout == "around_layers" else 0.0
        self.embedding = nn.Embedding(classes, WIDTH)
        self.embedding_norm = _norm(sites)
        self.dropout1 = Dropout(around)
        self.lstm1 = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        # TensorFlow drops out what leaves a layer and again what enters the next: 0.8² is kept.
        self.dropout2 = Dropout(1 - (1 - RATE) ** 2 if around else RATE)
        self.lstm1_norm = _norm(sites)
        self.lstm2 = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.lstm2_norm = _norm(sites)
        self.dropout3 = Dropout(around)
        self.dense = nn.Linear(WIDTH, classes)

    def forward(self, codes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the logits of the next characters, and the state behind the last one."""
        before = state if state else _zeros(codes, self.dense.weight)
        features = self.dropout1(self.embedding_norm(self.embedding(codes)))
        ends = []
        for number, layer in enumerate((self.lstm1, self.lstm2)):
            start = tuple(before[name][number : number + 1] for name in ("hidden", "cell"))
            # torch's kernels differ by device in what of an LSTM they round: nothing of it here.
            with torch.autocast(codes.device.type, enabled=False):
                features, end = layer(features, start)
            ends.append(end)
            if number == 0:
                features = self.dropout2(self.lstm1_norm(features))
        logits = self.dense(self.dropout3(self.lstm2_norm(features)))
        hidden, cell = (torch.cat(parts) for parts in zip(*ends, strict=True))
        return logits, {"hidden": hidden, "cell": cell}

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.LSTM):
            _draw_lstm(layer)
        elif isinstance(layer, nn.Embedding):
            nn.init.xavier_uniform_(layer.weight)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            bound = math.sqrt(3 / layer.out_features)
            nn.init.uniform_(layer.bias, -bound, bound)


def _norm(sites: Sites) -> nn.Module:
    norm, _ = sites.before(WIDTH, "sequence")
    return norm


def _zeros(codes: Tensor, like: Tensor) -> State:
    shape = (2, len(codes), WIDTH)
    return {name: like.new_zeros(shape) for name in ("hidden", "cell")}


def _draw_lstm(layer: nn.LSTM) -> None:
    bound = math.sqrt(6 / (layer.input_size + layer.hidden_size + 4 * layer.hidden_size))
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            nn.init.uniform_(parameter, -bound, bound)
        else:
            nn.init.zeros_(parameter)
    with torch.no_grad():
        # Gates come in the order input, forget, cell, output.
        layer.get_parameter("bias_ih_l0")[layer.hidden_size : 2 * layer.hidden_size] = 1.0
