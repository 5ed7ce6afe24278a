"""The wine data and a perceptron for it: an example of a dataset and a network."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from normbench import Data, DataRequest, Part, Sites


def load(request: DataRequest) -> Data:  # noqa: ARG001 - the data come with scikit-learn
    """Return a fixed stratified split, standardized by the train part."""
    wine = load_wine()
    inputs, targets = wine.data.astype(np.float32), wine.target.astype(np.int64)
    split = train_test_split(inputs, targets, test_size=45, stratify=targets, random_state=0)
    mean, std = split[0].mean(0), split[0].std(0)
    return Data(
        train=Part((split[0] - mean) / std, split[2]), test=Part((split[1] - mean) / std, split[3])
    )


class WineMLP(nn.Module):
    """13-32-32-3, with a norm site after each hidden layer."""

    def __init__(self, sites: Sites) -> None:
        super().__init__()
        self.first = nn.Linear(13, 32)
        self.norm1, self.relu1 = sites.after(self.first, nn.ReLU())
        self.second = nn.Linear(32, 32)
        self.norm2, self.relu2 = sites.after(self.second, nn.ReLU())
        self.out = nn.Linear(32, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (N, 3) for *inputs* (N, 13)."""
        hidden = self.relu1(self.norm1(self.first(inputs)))
        return self.out(self.relu2(self.norm2(self.second(hidden))))
