"""Where things lie unless a user says otherwise; nothing is imported to know it."""

from __future__ import annotations

import os
from pathlib import Path

_STORE_VARIABLE = "NORMBENCH_STORE"
_DEFAULT_STORE = "normbench-runs"
DATA_VARIABLE = "NORMBENCH_DATA"


def store_path(given: Path | None = None) -> Path:
    """Return the store's folder: *given*, else ``$NORMBENCH_STORE``, else ``normbench-runs``."""
    return given or Path(os.environ.get(_STORE_VARIABLE) or _DEFAULT_STORE)


def data_folder(given: Path | None = None) -> Path:
    """Return the data folder: *given*, else ``$NORMBENCH_DATA``, else the user cache."""
    if given is not None:
        return given
    if variable := os.environ.get(DATA_VARIABLE):
        return Path(variable)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "normbench" / "data"
