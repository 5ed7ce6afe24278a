"""The grammar of suite files as a JSON Schema, and the check of a file against it.

The schema is the one table: editors read it as ``docs/suite.schema.json``, which
``python -m normbench.suites`` prints, and :func:`check` reads it here. Only the words of
JSON Schema that stand in it are understood. A ``title`` is what messages call a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from normbench.errors import unknown_name
from normbench.parameters import rules_of
from normbench.rules import Ablation
from normbench.suites.places import Path, PlacedError

MODES = tuple(
    str(mode) for rule in rules_of(Ablation) if rule.name == "train" for mode in rule.choices
)
METHODS = ("sobol", "grid", "tpe")
AXES = ("problem", "norm", "ablation", "optimizer", "protocol")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _count(title: str, least: int) -> dict[str, Any]:
    return {"title": title, "type": "integer", "minimum": least}


def _list_of(item: Mapping[str, Any], title: str) -> dict[str, Any]:
    return {"title": title, "type": "array", "items": dict(item), "minItems": 1}


def _one_or_more(item: Mapping[str, Any], title: str) -> dict[str, Any]:
    return {"title": title, "anyOf": [dict(item), _list_of(item, "a list of them")]}


def _name_of(axis: str) -> dict[str, str]:
    """Return what names a choice of *axis*; plugins add to all but the modes of an ablation."""
    return _ref("mode" if axis == "ablation" else "name")


def _choice(axis: str) -> dict[str, Any]:
    key = "train" if axis == "ablation" else "name"
    mapping: dict[str, Any] = {
        "title": f"a mapping {{{key}: NAME, ...}}",
        "type": "object",
        "properties": {key: _name_of(axis)},
        "additionalProperties": _ref("value"),
    }
    if axis == "ablation":
        mapping["properties"]["sites"] = _ref("mask")
    else:
        mapping["required"] = [key]
    return {"title": f"one {axis}, by its name", "anyOf": [_name_of(axis), mapping]}


def _axes(summaries: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for axis, summary in summaries.items():
        yield f"{axis}s", {"description": f"{summary}; a list", **_many(axis)}
        yield axis, {"description": f"{summary}; one, null for the default", **_maybe(axis)}


def _many(axis: str) -> dict[str, Any]:
    return _one_or_more(_ref(axis), f"a list of {axis}s")


def _maybe(axis: str) -> dict[str, Any]:
    null = {"title": "null", "type": "null"}
    return {"title": f"one {axis}", "anyOf": [_ref(axis), null]}


_GRID: dict[str, Any] = {
    **dict(
        _axes(
            {
                "problem": "test problems",
                "norm": "norms at the norm sites",
                "ablation": "what of the norm is alive",
                "optimizer": "optimizers",
                "protocol": "rules of the comparison",
            }
        )
    ),
    "seeds": {"description": "seeds of each cell", **_ref("seeds")},
    "words": {"description": "words for every cell, such as protocol.epochs", **_ref("words")},
    "setting_of": {
        "description": "cell whose known setting each cell takes, such as norm=batch_norm",
        **_ref("setting_of"),
    },
}
_CONDITION: dict[str, Any] = {
    axis: _one_or_more(_name_of(axis), f"the name of one {axis}, or a list") for axis in AXES
}
_TOP: dict[str, Any] = {
    "title": {"description": "what the suite is about", **_ref("text")},
    "reference": {
        "description": "the row of each problem that the others are compared with",
        "title": "a mapping such as {norm: batch_norm, optimizer: momentum}",
        "type": "object",
        "properties": {axis: _ref(axis) for axis in AXES if axis != "problem"},
        "additionalProperties": False,
        "minProperties": 1,
    },
    "tune": {
        "description": "how each cell is tuned before its seeds are trained",
        "title": "a mapping such as {trials: 20}",
        "type": "object",
        "properties": {
            "trials": _count("a number of trials", 1),
            "method": {"title": "method", "type": "string", "enum": list(METHODS)},
            "search": {
                "description": "changes to the search spaces of the optimizers",
                "title": 'a mapping such as {lr: "log:0.001:1", adam.lr: none}',
                "type": "object",
                "additionalProperties": _ref("form"),
            },
            "draw_seed": _count("a whole number", 0),
            "tuning_seeds": _count("a number of seeds", 1),
        },
        "additionalProperties": False,
        "minProperties": 1,
    },
    **_GRID,
    "grids": {
        "description": "more lists; what one leaves out it takes from the top of the file",
        **_one_or_more(_ref("grid"), "a list of grids"),
    },
    "overrides": {
        "description": "words or seeds for some of the cells",
        **_one_or_more(_ref("override"), "a list of overrides"),
    },
    "exclude": {
        "description": "cells that are left out, with reasons",
        **_one_or_more(_ref("exclusion"), "a list of exclusions"),
    },
    "include": {
        "description": "suites whose cells come first, by name or file",
        **_one_or_more(_ref("name"), "a list of names or files"),
    },
}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "a normbench suite",
    "type": "object",
    "properties": _TOP,
    "additionalProperties": False,
    "$defs": {
        "text": {"title": "text", "type": "string"},
        "name": {"title": "a name", "type": "string", "minLength": 1},
        "mode": {"title": "ablation", "type": "string", "enum": list(MODES)},
        "form": {
            "title": "log:LOW:HIGH, linear:LOW:HIGH, int:LOW:HIGH, choice:A,B,C, grid:A,B,C or "
            "none",
            "type": "string",
            "pattern": "^(none|(log|linear|int|choice|grid):.+)$",
        },
        "setting_of": {
            "title": "words of a cell, such as norm=batch_norm",
            "anyOf": [
                {
                    "title": "words of a cell, such as norm=batch_norm",
                    "type": "string",
                    "pattern": "^(problem|norm|protocol)=[^=, ]+"
                    "([, ]+(problem|norm|protocol)=[^=, ]+)*$",
                },
                {"title": "null", "type": "null"},
            ],
        },
        "value": {
            "title": "a value or a list of values",
            "type": ["string", "number", "boolean", "null", "array"],
        },
        "mask": {
            "title": 'a mask in quotes, such as "0,1,1"',
            "anyOf": [
                {
                    "title": 'a mask in quotes, such as "0,1,1"',
                    "type": "string",
                    "pattern": "^ *[01]( *,? *[01])* *$",
                },
                _list_of({"title": "0 or 1", "type": "integer", "enum": [0, 1]}, "a list"),
                {"title": "null", "type": "null"},
            ],
        },
        "seeds": {
            "title": "a number of seeds, or a list of seeds",
            "anyOf": [
                {"title": "a number of seeds", "type": "integer", "minimum": 1},
                _list_of({"title": "a seed", "type": "integer", "minimum": 0}, "a list of seeds"),
                {
                    "title": "a number of seeds, or seeds such as 3,7,9 (one seed: 7,)",
                    "type": "string",
                    "pattern": "^ *[0-9]+( *, *[0-9]+)* *,? *$",
                },
                {"title": "null", "type": "null"},
            ],
        },
        "words": {
            "title": "words, NAME: VALUE",
            "type": ["object", "null"],
            "additionalProperties": _ref("value"),
        },
        **{axis: _choice(axis) for axis in AXES},
        "grid": {
            "title": "a grid such as {problems: [...], optimizers: [...]}",
            "type": "object",
            "properties": _GRID,
            "additionalProperties": False,
        },
        "condition": {
            "title": "a mapping such as {norm: group_norm}",
            "type": "object",
            "properties": _CONDITION,
            "additionalProperties": False,
            "minProperties": 1,
        },
        "override": {
            "title": "a mapping with when and words or seeds",
            "type": "object",
            "properties": {
                "when": _ref("condition"),
                "words": _ref("words"),
                "seeds": _ref("seeds"),
                "setting_of": _ref("setting_of"),
            },
            "additionalProperties": False,
            "required": ["when"],
        },
        "exclusion": {
            "title": "a mapping with names and their reason",
            "type": "object",
            "properties": {**_CONDITION, "when": _ref("condition"), "reason": _ref("text")},
            "additionalProperties": False,
            "required": ["reason"],
        },
    },
}


def check(content: object) -> None:
    """Check that *content* is written as a suite is.

    Raises:
        PlacedError: At the first value that is not.
    """
    _check(content, SCHEMA, ())


def _check(value: Any, schema: Mapping[str, Any], path: Path) -> None:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        _check(value, SCHEMA["$defs"][name], path)
    elif "anyOf" in schema:
        _check_alternatives(value, schema, path)
    else:
        if not _fits(value, schema) or not re.search(schema.get("pattern", ""), str(value)):
            raise PlacedError(path, _expected(value, schema["title"], path))
        if value not in schema.get("enum", (value,)):
            names = map(str, schema["enum"])
            raise PlacedError(path, str(unknown_name(schema["title"], str(value), names)))
        _check_size(value, schema, path)
        _check_parts(value, schema, path)


def _check_alternatives(value: Any, schema: Mapping[str, Any], path: Path) -> None:
    """Check *value* against the one alternative of its type; the others cannot be meant."""
    for alternative in _flat(schema):
        if _fits(value, alternative):
            _check(value, alternative, path)
            return
    raise PlacedError(path, _expected(value, schema["title"], path))


def _flat(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _flat(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for alternative in schema["anyOf"]:
            yield from _flat(alternative)
    else:
        yield schema


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    names = schema["type"]
    kinds = [kind for name in _as_list(names) for kind in _TYPES[name]]
    return isinstance(value, tuple(kinds)) and (not isinstance(value, bool) or bool in kinds)


def _check_size(value: Any, schema: Mapping[str, Any], path: Path) -> None:
    if "minimum" in schema and value < schema["minimum"]:
        raise PlacedError(
            path, f"{value} is too small: expected {schema['title']}, at least {schema['minimum']}."
        )
    least = next(
        (schema[key] for key in ("minItems", "minProperties", "minLength") if key in schema), 0
    )
    if least and len(value) < least:
        raise PlacedError(
            path, f"it is empty: expected {schema['title']}. Fill it, or take it out."
        )


def _check_parts(value: Any, schema: Mapping[str, Any], path: Path) -> None:
    if isinstance(value, list | tuple) and "items" in schema:
        for index, item in enumerate(value):
            _check(item, schema["items"], (*path, index))
    if isinstance(value, dict):
        for key, item in value.items():
            _check_key(key, item, schema, path)
        for key in schema.get("required", ()):
            if key not in value:
                raise PlacedError(path, f"its {key} is missing. Add {key}: ...")


def _check_key(key: Any, item: Any, schema: Mapping[str, Any], path: Path) -> None:
    known, more = schema.get("properties", {}), schema["additionalProperties"]
    if not isinstance(key, str):
        raise PlacedError((*path, key), f"key {key!r} is no name: expected {schema['title']}.")
    if key in known:
        _check(item, known[key], (*path, key))
    elif more is False:
        # A list is written under the plural of a name that has one.
        lists = [f"{name}s" for name in known] if isinstance(item, list | tuple) else ()
        likely = [name for name in lists if name in known]
        raise PlacedError((*path, key), str(unknown_name("key", key, known, likely)))
    else:
        _check(item, more, (*path, key))


def _expected(value: Any, title: str, path: Path) -> str:
    """Return what is wrong about the type of *value*, with the mistake that it usually is."""
    message = f"{_shown(value)} does not fit: expected {title}."
    if path and path[-1] in AXES and isinstance(value, list | tuple):
        return f"{message} For several, write {path[-1]}s: [...]."
    if path and path[-1] == "sites" and isinstance(value, int | float):
        return f"{message} Without quotes YAML reads a mask as a number."
    return message


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _as_list(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


_LONGEST = 60
