"""Where an installed package lies and which version it is, found without importing it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


def folder_of(package: str) -> Path | None:
    """Return the folder of an installed top-level *package*; None if it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def release_of(distribution: str) -> int:
    """Return the version of an installed *distribution* as a whole number; 1.0.31 is 10031.

    A component of another package may compute something else in its next release, so its version
    is that of the package.
    """
    try:
        numbers = re.findall(r"\d+", version(distribution))[:3]
    except PackageNotFoundError:
        return 1
    major, minor, patch = (*map(int, numbers), 0, 0, 0)[:3]
    return max(1, 10_000 * major + 100 * minor + patch)
