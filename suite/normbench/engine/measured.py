"""What observers return: brought to numpy and held against what they describe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normbench.descriptions import Measure, Observer
from normbench.errors import PluginError
from normbench.observers import Array


def as_numpy(value: Array) -> NDArray[Any]:
    """Return a copy of *value* as a numpy array; bfloat16, which numpy lacks, as float32."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.array(value)


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number in *tensors* is finite; waits for the device."""
    norms = torch._foreach_norm([tensor.detach() for tensor in tensors], math.inf)
    return bool(torch.isfinite(torch.stack(norms)).all().item())


def check_arrays(
    observer: Observer, arrays: Mapping[str, NDArray[Any]], lengths: dict[str, int]
) -> None:
    """Check that *arrays* are those that *observer* describes.

    Args:
        observer: The description.
        arrays: What it returned.
        lengths: Length of each named dimension; those seen for the first time are added.

    Raises:
        PluginError: If they are not.
    """
    described = {measure.name: measure for measure in observer.measures}
    if arrays.keys() != described.keys():
        wrong = sorted(arrays.keys() ^ described.keys())
        raise PluginError(
            f"observer {observer.name!r} returned {', '.join(sorted(arrays)) or 'nothing'}, but "
            f"describes {', '.join(described)}: {', '.join(wrong)} must be in both or neither."
        )
    for name, array in arrays.items():
        _check_dims(observer, described[name], array, lengths)


def _check_dims(
    observer: Observer, measure: Measure, array: NDArray[Any], lengths: dict[str, int]
) -> None:
    fits = array.ndim == len(measure.dims) and array.dtype.kind in "biufU"
    for dim, length in zip(measure.dims, array.shape, strict=False):
        fits = fits and lengths.setdefault(dim, length) == length
    if not fits:
        raise PluginError(
            f"observer {observer.name!r} returned {measure.name} as {array.dtype} of shape "
            f"{array.shape}, but describes its dimensions as ({', '.join(measure.dims)}), of the "
            "lengths that its other arrays have, and holding numbers or text."
        )
