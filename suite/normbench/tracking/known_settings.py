"""Settings tuned in a store, carried by MLflow's experiments.

A leaderboard says of a row whether its setting is the known one of its cell, and may choose its
reference by that; whoever reads it from MLflow alone must know the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from normbench.descriptions import Setting
from normbench.errors import StoreError
from normbench.setting_files import SETTINGS_FOLDER, parse_settings
from normbench.tracking.long_tags import gathered, spread

# The pages leave out tags that begin like this.
_PREFIX = "mlflow.normbench.settings."
_NAME = re.compile(re.escape(_PREFIX) + r"[^.].*\.toml")
_MOST_FILES = 10_000


def setting_tags(root: Path, problem: str) -> dict[str, str]:
    """Return the tags that carry what was tuned of *problem* in the store at *root*.

    Raises:
        StoreError: If a file of known settings cannot be read.
    """
    tags: dict[str, str] = {}
    for path in sorted((root / SETTINGS_FOLDER).glob("*.toml")):
        try:
            text, problems = _read(path, path.stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} holds no known settings that this version reads ({error}). Mend it, or "
                "delete it and tune again."
            ) from error
        if problem in problems:
            tags |= spread(f"{_PREFIX}{path.name}", text)
    return tags


def settings_in(experiments: Iterable[Mapping[str, str]]) -> list[Setting]:
    """Return the settings that the tags of experiments carry, each file once, by name.

    Raises:
        ValueError: If a tag is damaged, or a newer normbench wrote it.
    """
    texts: dict[str, str] = {}
    for tags in experiments:
        for name in filter(_NAME.fullmatch, tags):
            texts.setdefault(name, gathered(tags, name))
    return [setting for _, text in sorted(texts.items()) for setting in parse_settings(text)]


@lru_cache(maxsize=_MOST_FILES)
def _read(path: Path, _changed: int) -> tuple[str, frozenset[str]]:
    """Return the text of a file as it was last changed, and the problems that it is about."""
    text = path.read_text(encoding="utf-8")
    return text, frozenset(setting.problem for setting in parse_settings(text))
