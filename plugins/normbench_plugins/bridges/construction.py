"""Making an optimizer of another package, and saying what it refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from normbench import UsageError

Groups = Sequence[dict[str, Any]]


def construct(
    name: str, kind: Callable[..., Optimizer], groups: Groups, values: Mapping[str, Any]
) -> Optimizer:
    """Return ``kind(groups, **values)``.

    Raises:
        UsageError: If the package refuses a value.
    """
    try:
        return kind(list(groups), **values)
    except (AssertionError, ValueError) as error:
        raise UsageError(
            f"{name} refuses {dict(values)}: {error}. Give other values; see: normbench describe "
            f"optimizer {name}"
        ) from error
