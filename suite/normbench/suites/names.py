"""Names and values in a suite file, checked against what the plugins offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from normbench.descriptions import Component, Norm, Optimizer, Problem, Training
from normbench.errors import PluginError, UsageError, unknown_name
from normbench.overrides import SECTIONS, parse_mask, parse_seeds
from normbench.parameters import Parameter, rules_of
from normbench.plugins import Catalogue
from normbench.rules import Ablation, Protocol, Rules
from normbench.suites.places import Path, PlacedError
from normbench.suites.schema import AXES

_KINDS: Mapping[str, type[Component]] = {
    "problem": Problem,
    "norm": Norm,
    "optimizer": Optimizer,
    "protocol": Protocol,
}
_FIELDS: Mapping[str, type] = {"problem": Training, "ablation": Ablation, "protocol": Rules}


def check_names(content: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Check every name, value, seed and word of a suite that :func:`schema.check` has passed.

    Raises:
        PlacedError: At the first that does not fit.
        PluginError: If a plugin that a name needs is broken or ambiguous.
    """
    _check_grid(content, (), catalogue)
    for key in ("grids", "overrides", "exclude"):
        for path, entry in _entries(content.get(key), (key,)):
            _check_grid(entry, path, catalogue)
            _check_condition(entry.get("when", {}), (*path, "when"), catalogue)
    _check_condition(content.get("reference", {}), ("reference",), catalogue)


def _check_grid(grid: Mapping[str, Any], path: Path, catalogue: Catalogue) -> None:
    for axis in AXES:
        if axis in grid and f"{axis}s" in grid:
            raise PlacedError(
                (*path, axis), f"{axis} and {axis}s are both given. Keep one of them."
            )
    _check_condition(grid, path, catalogue)
    _check_words(grid.get("words") or {}, (*path, "words"))
    if "seeds" in grid:
        _at((*path, "seeds"), parse_seeds, grid["seeds"])


def _check_condition(content: Mapping[str, Any], path: Path, catalogue: Catalogue) -> None:
    for axis in AXES:
        for key in (axis, f"{axis}s"):
            for place, choice in _entries(content.get(key), (*path, key)):
                _check_choice(axis, choice, place, catalogue)


def _check_choice(axis: str, choice: Any, path: Path, catalogue: Catalogue) -> None:
    values = dict(choice) if isinstance(choice, Mapping) else {}
    key = "train" if axis == "ablation" else "name"
    name = values.pop(key, "trained") if isinstance(choice, Mapping) else choice
    place = (*path, key) if key in (choice if isinstance(choice, Mapping) else ()) else path
    if axis == "ablation":
        _at((*path, "sites"), parse_mask, values.pop("sites", None))
        parameters: tuple[Parameter, ...] = rules_of(Ablation)
    else:
        component = _at(place, catalogue.get, _KINDS[axis], name)
        fields = _FIELDS.get(axis)
        parameters = component.parameters if fields is None else rules_of(fields)
    _check_values(values, parameters, path, f"{axis} {name}")


def _check_values(
    values: Mapping[str, Any], parameters: tuple[Parameter, ...], path: Path, owner: str
) -> None:
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in values.items():
        if name not in known:
            raise PlacedError(
                (*path, name), str(unknown_name(f"parameter of {owner}", name, known))
            )
        _at((*path, name), known[name].check, value, owner)


def _check_words(words: Mapping[str, Any], path: Path) -> None:
    """Check the words whose fields are the same whatever the cell; the others wait for one."""
    for word, value in words.items():
        section, dot, name = word.partition(".")
        if not dot:
            continue
        if section not in SECTIONS:
            raise PlacedError((*path, word), str(unknown_name("section", section, SECTIONS)))
        if section in _FIELDS and name != "sites":
            owner = f"section {section}"
            known = {rule.name: rule for rule in rules_of(_FIELDS[section])}
            if name not in known:
                raise PlacedError((*path, word), str(unknown_name(f"word of {owner}", name, known)))
            _at((*path, word), known[name].check, value, owner)


def _entries(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield what a value lists with the path of each; a value that is no list is the only one."""
    if isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield (*path, index), each
    elif value is not None:
        yield path, value


def _at(path: Path, function: Any, *values: Any) -> Any:
    """Return what *function* gives; its complaint gets the place."""
    try:
        return function(*values)
    except PluginError:
        raise
    except UsageError as error:
        raise PlacedError(path, str(error)) from None
