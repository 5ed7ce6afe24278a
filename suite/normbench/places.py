"""Where things lie unless a user says otherwise; nothing is imported to know it."""

from __future__ import annotations

import os
from pathlib import Path

_STORE_VARIABLE = "NORMBENCH_STORE"
_DEFAULT_STORE = "normbench-runs"


def store_path(given: Path | None = None) -> Path:
    """Return the store's folder: *given*, else ``$NORMBENCH_STORE``, else ``normbench-runs``."""
    return given or Path(os.environ.get(_STORE_VARIABLE) or _DEFAULT_STORE)
