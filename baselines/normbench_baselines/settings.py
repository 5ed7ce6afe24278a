"""Known settings: hyper-parameters that others found, each with where it comes from.

They lie in ``settings/*.toml``, written as :func:`normbench.read_settings` reads them; a file that
``normbench tune`` left in a store's ``settings`` folder may be put beside them as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from normbench import Setting, hookimpl, read_settings


@hookimpl
def normbench_settings() -> Sequence[Setting]:
    """Offer the settings of all data files."""
    folder = files("normbench_baselines") / "settings"
    tables = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    return tuple(setting for file in tables for setting in read_settings(file))
