"""Files of known settings: read as plugins ship them, written as ``normbench tune`` finds them.

A file has one ``[origin]`` and any number of ``[[setting]]``::

    [origin]
    kind = "published"             # or "known": tuned with normbench in this very cell
    source = "who found them, and where they are published"
    tuned_on = "what was trained, and by which score they were chosen"
    budget = "how many trials of what"
    seeds = 1                      # seeds behind each choice; 0 where the source does not say
    method = "tpe, sequential"     # optional: where later trials depended on earlier ones

    [[setting]]
    problem = "cifar10_3c3d"
    norm = "none"
    optimizer = "sgd"
    protocol = "deepobs"
    values = { lr = 0.063 }
    norm_parameters = { }          # optional: of a norm that is not at its defaults
    ablation = { }                 # optional: changes to the default ablation
    rules = [ ]                    # optional: words that changed the rules, protocol.epochs=2
    remark = "optional: what is particular to this one"

``problem``, ``norm`` and ``optimizer`` may be lists: the setting then holds for each combination.
Without ``kind`` the settings are published ones. Null is written as the word ``"null"``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import Path
from typing import Any

from normbench.descriptions import Setting
from normbench.errors import DamagedFileError, what_is_wrong
from normbench.parameters import Value
from normbench.quantities import counted

SETTINGS_FOLDER = "settings"
_ENDING = ".toml"
_NULL = "null"
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
_DIGITS = 8


def read_settings(file: Traversable | Path) -> list[Setting]:
    """Return the settings of one file.

    Raises:
        ValueError: If it is not written as such a file is.
    """
    return parse_settings(file.read_text(encoding="utf-8"))


def parse_settings(text: str) -> list[Setting]:
    """Return the settings in the *text* of a file.

    Raises:
        ValueError: If it is not written as such a file is.
    """
    content = tomllib.loads(text)
    try:
        return [
            setting
            for entry in content["setting"]
            for setting in _settings(content["origin"], entry)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(what_is_wrong(error)) from error


def read_folder(folder: Path) -> tuple[list[Setting], list[DamagedFileError]]:
    """Return the settings of all files in *folder*, in the order of their names.

    Returns:
        The settings, and what is wrong with each file that cannot be read.
    """
    settings: list[Setting] = []
    damaged: list[DamagedFileError] = []
    for file in sorted(folder.glob(f"*{_ENDING}")):
        try:
            settings += read_settings(file)
        except (OSError, ValueError) as error:
            damaged.append(damaged_settings(file, str(error)))
    return settings, damaged


def damaged_settings(file: Path, why: str) -> DamagedFileError:
    """Return the error for a *file* that holds no settings."""
    return DamagedFileError(
        f"{file} holds no known settings that this version reads ({why}). Mend it, or delete it "
        "and tune again.",
        file,
    )


def file_name(names: Sequence[str], cell: str) -> str:
    """Return the name of the file of a cell's setting.

    Args:
        names: Its problem, norm, optimizer and protocol.
        cell: Its fingerprint.
    """
    return f"{_stem(names)}-{cell[:_DIGITS]}{_ENDING}"


def is_of(file: Path, names: Sequence[str]) -> bool:
    """Whether a *file* is called as one of a cell with these *names* is."""
    return re.fullmatch(rf"{re.escape(_stem(names))}-[0-9a-f]{{{_DIGITS}}}", file.stem) is not None


def _stem(names: Sequence[str]) -> str:
    return _UNFIT.sub("-", "-".join(names))


def setting_text(origin: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of a file with this ``[origin]`` and these ``[[setting]]`` tables."""
    parts = ["[origin]", *_lines(origin)]
    for setting in settings:
        parts += ["", "[[setting]]", *_lines(setting)]
    return "\n".join(parts) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in table.items()]


def _toml(value: Any) -> str:
    """Return *value* as TOML writes it."""
    if value is None:
        return f'"{_NULL}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }" if value else "{ }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        # The one character that JSON takes as it is and TOML does not.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _settings(origin: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Setting]:
    names = (_listed(entry[part]) for part in ("problem", "norm", "optimizer"))
    return [
        Setting(
            problem=problem,
            norm=norm,
            optimizer=optimizer,
            protocol=entry["protocol"],
            values=_values(entry["values"]),
            source=_source(origin, entry),
            origin=origin.get("kind", "published"),
            ablation=_values(entry.get("ablation", {})),
            norm_parameters=_values(entry.get("norm_parameters", {})),
            rules=tuple(entry.get("rules", ())),
            method=origin.get("method", ""),
        )
        for problem, norm, optimizer in product(*names)
    ]


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _source(origin: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return who found a setting, how, and with which budget, in one line."""
    seeds = origin["seeds"]
    number = counted(seeds, "seed") if seeds else "an unknown number of seeds"
    parts = [origin["source"], origin["tuned_on"], f"{origin['budget']}, {number}"]
    if remark := entry.get("remark"):
        parts.append(remark)
    return "; ".join(parts)


def _values(table: Mapping[str, Any]) -> dict[str, Value]:
    """Turn TOML's arrays into tuples, and its word for null into None."""
    return {name: _value(value) for name, value in table.items()}


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    return None if value == _NULL else value
