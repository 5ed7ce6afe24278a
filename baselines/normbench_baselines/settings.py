"""Known settings: hyper-parameters that others found, each with where it comes from.

They lie in ``settings/*.toml``. A file has one ``[origin]`` and any number of ``[[setting]]``::

    [origin]
    source = "who found them, and where they are published"
    tuned_on = "what was trained, and by which score they were chosen"
    budget = "how many trials of what"
    seeds = 1                      # seeds behind each choice; 0 where the source does not say

    [[setting]]
    problem = "cifar10_3c3d"
    norm = "none"
    optimizer = "sgd"
    protocol = "deepobs"
    values = { lr = 0.063 }
    remark = "optional: what is particular to this one"

``problem``, ``norm`` and ``optimizer`` may be lists: the setting then holds for each combination.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from typing import Any

from normbench import Setting, Value, hookimpl


@hookimpl
def normbench_settings() -> Sequence[Setting]:
    """Offer the settings of all data files."""
    folder = files("normbench_baselines") / "settings"
    tables = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    return tuple(setting for file in tables for setting in read_settings(file))


def read_settings(file: Traversable) -> Iterator[Setting]:
    """Read one data file."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    for entry in content["setting"]:
        names = (_listed(entry[part]) for part in ("problem", "norm", "optimizer"))
        for problem, norm, optimizer in product(*names):
            yield Setting(
                problem=problem,
                norm=norm,
                optimizer=optimizer,
                protocol=entry["protocol"],
                values=_frozen(entry["values"]),
                source=_origin(content["origin"], entry),
                origin="published",
                ablation=_frozen(entry.get("ablation", {})),
            )


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _origin(origin: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return who found a setting, how, and with which budget, in one line."""
    seeds = origin["seeds"]
    counted = "an unknown number of seeds" if not seeds else f"{seeds} seed{'s' * (seeds > 1)}"
    parts = [origin["source"], origin["tuned_on"], f"{origin['budget']}, {counted}"]
    if remark := entry.get("remark"):
        parts.append(remark)
    return "; ".join(parts)


def _frozen(values: Mapping[str, Any]) -> dict[str, Value]:
    """Turn TOML's arrays into tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
