"""Known settings: which hyper-parameters a cell is known to do well with. Never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normbench.descriptions import Setting
from normbench.errors import UsageError
from normbench.parameters import Value
from normbench.plugins import Catalogue
from normbench.rules import Protocol

_CELL_WORDS = ("problem", "norm", "protocol")


def find_setting(
    catalogue: Catalogue,
    *,
    problem: str,
    norm: str,
    ablation: Mapping[str, Any],
    optimizer: str,
    protocol: Protocol,
    setting_of: str | None = None,
) -> tuple[dict[str, Value], str]:
    """Return the known hyper-parameters of a cell, and where they come from.

    The origin is ``known`` or ``published`` for the cell itself, ``of WORDS`` for another cell that
    the user or the protocol names, and ``default`` where nothing is known.

    Raises:
        UsageError: If *setting_of* names a cell without a known setting.
    """
    cell: dict[str, Any] = {"problem": problem, "norm": norm, "protocol": protocol.name}
    if setting_of:
        other = {**cell, **_read_cell(setting_of)}
        found = _lookup(catalogue, other, optimizer, {})
        if found is None:
            raise UsageError(
                f"--setting-of {setting_of}: no setting of {optimizer} is known for problem "
                f"{other['problem']}, norm {other['norm']}, protocol {other['protocol']}. "
                "Leave --setting-of out, or give the values as words."
            )
        return dict(found.values), f"of {setting_of}"
    found = _lookup(catalogue, cell, optimizer, ablation)
    if found is not None:
        return dict(found.values), found.origin
    if protocol.settings_from:
        cell["protocol"] = protocol.settings_from
        found = _lookup(catalogue, cell, optimizer, ablation)
        if found is not None:
            return dict(found.values), f"of protocol={protocol.settings_from}"
    return {}, "default"


def _lookup(
    catalogue: Catalogue, cell: Mapping[str, Any], optimizer: str, ablation: Mapping[str, Any]
) -> Setting | None:
    for setting in catalogue.settings():
        key = {
            "problem": setting.problem,
            "norm": setting.norm,
            "protocol": setting.protocol,
        }
        same_ablation = _listed(setting.ablation) == _listed(ablation)
        if setting.optimizer == optimizer and key == cell and same_ablation:
            return setting
    return None


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _read_cell(text: str) -> dict[str, str]:
    words = dict(word.partition("=")[::2] for word in text.replace(",", " ").split())
    wrong = [name for name, value in words.items() if name not in _CELL_WORDS or not value]
    if wrong or not words:
        raise UsageError(
            f"--setting-of {text!r} names no cell: expected words among problem=NAME, norm=NAME "
            "and protocol=NAME, separated by commas."
        )
    return words
