"""The batch that observers are shown: training examples, the same at every moment of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine import feeding
from normbench.engine.split import Indices
from normbench.specs import RunSpec
from normbench.streams import stream_seed
from normbench.tasks import Batch

# Training counts its epochs from 1, so this one's augmentation is drawn by nobody else.
_EPOCH = 0


def probe_batch(
    spec: RunSpec,
    dataset: Dataset,
    train: Part,
    indices: Indices,
    device: torch.device,
    size: int,
) -> Batch:
    """Return *size* training examples, or all if there are fewer, augmented as in training.

    They are drawn from a stream of their own, so that runs of one seed see the same ones. Of a text
    it is the beginning: *size* windows that lie side by side.
    """
    if dataset.content == "tokens":
        count = min(size, len(indices) // dataset.shape[0])
        chosen = indices[: count * dataset.shape[0]]
    else:
        generator = np.random.default_rng(stream_seed(spec.stream_root, "probe"))
        count = min(size, len(indices))
        chosen = np.sort(generator.permutation(indices)[:count])
    # A loader of files draws from torch's global generator.
    with torch.random.fork_rng(devices=[]):
        source = feeding.training_source(_of_one_batch(spec, count), dataset, train, chosen, device)
        source.start_epoch(_EPOCH)
        return source.batch(torch.zeros((), dtype=torch.int64, device=device), count)


def _of_one_batch(spec: RunSpec, size: int) -> RunSpec:
    training = replace(spec.problem.training, batch_size=size)
    rules = replace(spec.protocol.rules, shuffle=False)
    return replace(
        spec,
        problem=replace(spec.problem, training=training),
        protocol=replace(spec.protocol, rules=rules),
    )
