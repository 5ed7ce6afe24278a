"""Messages that say what to install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from normbench.errors import install_extra
from normbench.plugins import BRIDGES

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"install_extra\(['\"]([\w-]+)['\"]\)|constraints\.txt '\.\[([a-z-]+)\]'")


def test_messages_name_extras_that_exist():
    """Each extra that a message or a bridge names is declared, and asked for in one wording."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = [path for top in ("suite", "plugins") for path in (ROOT / top).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = {one or other for one, other in NAMED.findall(text)}

    assert {"slurm", "dask", "optuna", "deepobs"} <= named
    assert named | {name.replace("_", "-") for name in BRIDGES} <= set(
        project["optional-dependencies"]
    )
    assert "normbench[" not in text
    assert "pip install -c constraints.txt '.[dask]' in the folder of" in install_extra("dask")
