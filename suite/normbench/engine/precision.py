"""Arithmetic: which precision products are computed in, and whether bits must repeat."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from normbench.errors import UsageError


def configure(precision: str, *, deterministic: bool, device: torch.device) -> None:
    """Set torch's process-wide switches for one run.

    Both convolutions and matrix products are set, since torch's own defaults differ between them.
    By default torch also lets a product of 16-bit inputs add partial sums up in 16 bits.

    Raises:
        UsageError: If *precision* is bf16 and *device* could only emulate it.
    """
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # In deterministic mode torch fills fresh memory with NaN, a write more for every result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if precision == "bf16" and device.type == "cuda" and not _is_ampere_or_newer(device):
        raise UsageError(
            "protocol.precision=bf16: this GPU is older than compute capability 8.0 and has no "
            "bfloat16 arithmetic. Use protocol.precision=fp32."
        )


def computed_in(precision: str, device: torch.device) -> str:
    """Return the arithmetic that a run of *precision* is computed in on *device*.

    It is another one where ``tf32`` was asked for and the device has none: ``fp32``.
    """
    if precision != "tf32":
        return precision
    return "tf32" if device.type == "cuda" and _is_ampere_or_newer(device) else "fp32"


def _is_ampere_or_newer(device: torch.device) -> bool:
    """Whether the tensor cores of a GPU have tf32 and bfloat16."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def forward_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context that forward passes run in.

    With ``bf16``, convolutions and products take bfloat16 inputs and accumulate in float32;
    weights, gradients, norm statistics, losses and optimizer states stay float32. Norms, networks
    and tasks say themselves what they compute in float32, since torch's own lists for that differ
    between devices; a test holds the dtypes of all built-in ones equal on both. Weights are cast
    anew in each pass, so that a captured step stays correct.
    """
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
