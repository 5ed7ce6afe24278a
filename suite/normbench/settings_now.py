"""Where a row's hyper-parameters come from by what is known now.

A spec says where they came from when it was made. Tuning again may have found another setting for
the cell since, or the very one that a row was given by hand: tables go by what is known now, and
say of an older winner that it is superseded. Scores have no part in that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normbench.descriptions import Optimizer
from normbench.errors import UsageError
from normbench.parameters import Value
from normbench.plugins import Catalogue
from normbench.rules import Protocol
from normbench.settings import default_values, find_setting

SUPERSEDED = "superseded"


def stands_for(origin: str, kind: str) -> bool:
    """Whether a row with this *origin* is its cell's *kind*: known, published or default."""
    parts = origin.split(", ")
    return parts[0] == kind and SUPERSEDED not in parts and " + given " not in origin


def kind_of(origin: str) -> str:
    """Return how a setting was found, in one word.

    That is ``known``, ``published``, ``default``, ``superseded``, ``given`` by hand in whole or in
    part, or ``other`` for that of another cell.
    """
    if SUPERSEDED in origin.split(", "):
        return SUPERSEDED
    if origin == "given" or " + given " in origin:
        return "given"
    first = origin.partition(",")[0]
    return "other" if first.startswith("of ") else first


def has_settings(
    catalogue: Catalogue, problem: str, norm: str, optimizer: str, protocol: str
) -> bool:
    """Whether a setting is known of these names, so that a row's origin may be another now."""
    return bool(catalogue.settings_of(problem, norm, optimizer, protocol))


def origin_now(content: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return where the hyper-parameters of a spec come from by what *catalogue* knows.

    That is what the spec says, but for two cases: whatever has the values of the cell's setting is
    that setting, and a known setting that has other values is ``known, superseded``.

    Args:
        content: The spec, as its JSON says it.
        catalogue: What the plugins offer, with the settings of the store.

    Raises:
        DamagedFileError: If the file of the cell's setting in the store cannot be read.
    """
    recorded: str = content["setting_origin"]
    if recorded == "trial" or recorded.startswith("of "):
        return recorded
    try:
        optimizer = catalogue.get(Optimizer, content["optimizer"]["name"])
        protocol = catalogue.get(Protocol, content["protocol"]["name"])
        known, origin = _setting(content, catalogue, protocol)
        expected = {**default_values(optimizer, _decay(content)), **known}
    except UsageError:
        # What no plugin offers now has no other origin than the recorded one.
        return recorded
    if origin == "default" or origin.startswith("of "):
        return recorded
    if _frozen(content["optimizer"]["parameters"]) == expected:
        return origin
    return f"{recorded}, {SUPERSEDED}" if stands_for(recorded, "known") else recorded


def _setting(
    content: Mapping[str, Any], catalogue: Catalogue, protocol: Protocol
) -> tuple[dict[str, Value], str]:
    identity = content["identity"]
    norm = _frozen(identity["norm"]["parameters"])
    return find_setting(
        catalogue,
        problem=content["problem"]["name"],
        norm=content["norm"]["name"],
        ablation=identity["ablation"],
        optimizer=content["optimizer"]["name"],
        protocol=protocol,
        norm_parameters=(norm, _own(norm, content, protocol)),
        rules=content["deviations"],
    )


def _own(norm: Mapping[str, Any], content: Mapping[str, Any], protocol: Protocol) -> dict[str, Any]:
    """Return the changed parameters of the norm that are not those of the protocol's source."""
    if not content["protocol"]["rules"]["as_published"]:
        return dict(norm)
    words: dict[str, Value] = {}
    parts = ("problem", "norm", "optimizer")
    names = (content["problem"]["dataset"]["name"], *(content[part]["name"] for part in parts))
    for name in ("*", *names):
        words |= protocol.published.get(name, {})
    return {name: value for name, value in norm.items() if words.get(f"norm.{name}") != value}


def _decay(content: Mapping[str, Any]) -> float:
    own = content["protocol"]["rules"]["weight_decay"]
    decay: float = content["problem"]["training"]["weight_decay"] if own is None else own
    return decay


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
