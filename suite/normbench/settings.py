"""Known settings: which hyper-parameters a cell is known to do well with. Never guessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from normbench.descriptions import Optimizer, Setting
from normbench.errors import UsageError
from normbench.parameters import Value, checked, typed
from normbench.plugins import Catalogue
from normbench.rules import Protocol

AS_PUBLISHED = "protocol.as_published=true"
_CELL_WORDS = ("problem", "norm", "protocol")


def find_setting(
    catalogue: Catalogue,
    *,
    problem: str,
    norm: str,
    ablation: Mapping[str, Any],
    optimizer: str,
    protocol: Protocol,
    norm_parameters: Sequence[Mapping[str, Any]],
    rules: Collection[str],
    setting_of: str | None = None,
) -> tuple[dict[str, Value], str]:
    """Return the known hyper-parameters of a cell, and where they come from.

    A setting that was tuned under changed rules holds where the same *rules* are changed in the
    same way, and wins there; any other holds everywhere, and the origin then says if rules are
    changed. *norm_parameters* are those that differ from the norm's defaults: all of them, and
    those of the user's own words. The origin is ``known`` or ``published`` for the cell itself,
    ``of WORDS`` for another cell that the user or the protocol names, and ``default`` where nothing
    is known.

    Raises:
        UsageError: If *setting_of* names a cell without a known setting.
    """
    cell: dict[str, Any] = {
        "problem": problem,
        "norm": norm,
        "protocol": protocol.name,
        "optimizer": optimizer,
        "ablation": _listed(ablation),
    }
    norms = [_listed(parameters) for parameters in norm_parameters]
    if setting_of:
        other = {**cell, **_read_cell(setting_of), "ablation": {}}
        found = _lookup(catalogue, other, norms if other["norm"] == norm else [{}], rules)
        if found is None:
            raise UsageError(
                f"--setting-of {setting_of}: no setting of {optimizer} is known for problem "
                f"{other['problem']}, norm {other['norm']}, protocol {other['protocol']}. "
                "Leave --setting-of out, or give the values as words."
            )
        return dict(found.values), f"of {setting_of}"
    found = _lookup(catalogue, cell, norms, rules)
    if found is not None:
        return dict(found.values), _origin(found, rules)
    if protocol.settings_from:
        cell["protocol"] = protocol.settings_from
        found = _lookup(catalogue, cell, norms, rules)
        if found is not None:
            return dict(found.values), f"of protocol={protocol.settings_from}"
    return {}, "default"


def takes_decay(optimizer: Optimizer) -> bool:
    """Whether the problem's L2 coefficient reaches *optimizer*."""
    names = {parameter.name for parameter in optimizer.parameters}
    return "weight_decay" in names and not optimizer.decoupled_weight_decay


def default_values(optimizer: Optimizer, weight_decay: float) -> dict[str, Value]:
    """Return the optimizer's defaults where the problem's L2 coefficient is *weight_decay*."""
    values = checked(optimizer.parameters, {}, f"optimizer {optimizer.name}")
    return {**values, "weight_decay": weight_decay} if takes_decay(optimizer) else values


def origin_of(
    values: Mapping[str, Value],
    defaults: Mapping[str, Value],
    known: Mapping[str, Value],
    origin: str,
) -> str:
    """Return where *values* come from, if words changed a setting from *origin*.

    Args:
        values: The optimizer's hyper-parameters.
        defaults: Its defaults in this problem.
        known: Those that the setting holds.
        origin: Where they come from.
    """
    full = {**defaults, **known}
    if values == full:
        return origin
    if values == defaults:
        return "default"
    if all(values[name] != value for name, value in known.items()):
        return "given"
    given = [f"{name}={typed(value)}" for name, value in values.items() if value != full[name]]
    return f"{origin} + given {' '.join(given)}"


def _lookup(
    catalogue: Catalogue,
    cell: Mapping[str, Any],
    norms: Sequence[Mapping[str, Any]],
    rules: Collection[str],
) -> Setting | None:
    """Return the first setting of *cell*; one that was tuned under the same rules comes first."""
    names = (cell["problem"], cell["norm"], cell["optimizer"], cell["protocol"])
    settings = [
        setting
        for setting in catalogue.settings_of(*names)
        if _listed(setting.ablation) == cell["ablation"]
        and _listed(setting.norm_parameters) in norms
    ]
    same = [setting for setting in settings if set(setting.rules) == set(rules)]
    plain = [setting for setting in settings if not setting.rules]
    return next(iter([*same, *plain]), None)


def _origin(setting: Setting, rules: Collection[str]) -> str:
    """Return where the values come from, and whether *rules* are not those they were found by."""
    changed = set(rules) - set(setting.rules)
    if setting.origin == "published":
        # Doing as the source did changes nothing that its setting was found under.
        changed -= {AS_PUBLISHED}
    origin = f"{setting.origin}, {setting.method}" if setting.method else setting.origin
    return f"{origin}, rules changed" if changed else origin


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
