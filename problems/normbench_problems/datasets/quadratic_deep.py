"""The points of DeepOBS's noisy quadratic: a generated table, no download.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499.
"""

from __future__ import annotations

import numpy as np

from normbench import Data, DataRequest, Part

POINTS = 1000
DIMENSIONS = 100
NOISE = 0.6
TRAIN_SEED = 42
TEST_SEED = 43


def quadratic_deep(request: DataRequest) -> Data:  # noqa: ARG001 - nothing lies in the data folder
    """Return 1000 train and 1000 test points of N(0, 0.6²·I), float32 (N, 100); targets are 0.

    The points are DeepOBS's own, bit by bit. Its validation points, drawn with seed 44, have no
    counterpart: the protocol holds out train points.
    """
    return Data(train=_points(TRAIN_SEED), test=_points(TEST_SEED))


def _points(seed: int) -> Part:
    points = np.random.RandomState(seed).normal(0.0, NOISE, (POINTS, DIMENSIONS))
    return Part(points.astype(np.float32), np.zeros(POINTS, dtype=np.int64))
