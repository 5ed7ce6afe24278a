"""Reading a suite file: its grammar, checked before anything is expanded.

Lists make a grid; every combination is a cell. What ``grids`` entries leave out they take from the
top of the file::

    protocol: quick
    seeds: 3
    problems: [digits_cnn_bn]
    norms: [batch_norm, {name: group_norm, num_groups: 4}]
    ablations: [trained, {train: fixed_gamma, sites: "0,1,1"}]
    optimizers: [sgd, {name: adam, lr: 0.002}]
    words: {protocol.epochs: 10}
    grids:
      - problems: [fmnist_2c2d]
        norms: [none]
    overrides:
      - when: {norm: group_norm, optimizer: adam}
        words: {lr: 0.001}
    exclude:
      - {problem: fmnist_2c2d, optimizer: adam, reason: takes too long}
    include: [other_suite, file.yaml]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from normbench.descriptions import Suite
from normbench.errors import UsageError, unknown_name
from normbench.overrides import read_yaml
from normbench.plugins import Catalogue

AXES = ("problem", "norm", "ablation", "optimizer", "protocol")
_LISTS = {f"{axis}s": axis for axis in AXES}
_GRID_KEYS = (*_LISTS, *AXES, "seeds", "words")
_TOP_KEYS = ("title", *_GRID_KEYS, "grids", "overrides", "exclude", "include")
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One entry of an axis: a name, and values that go with it."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Lists whose every combination is a cell.

    Attributes:
        axes: Choices by axis; an axis that is left to its default has none.
        seeds: A number of seeds or the seeds; None for the protocol's.
        words: Words for every cell.
    """

    axes: Mapping[str, Sequence[Choice]]
    seeds: Any = None
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Something said of the cells that a condition holds for.

    Attributes:
        when: Names by axis; a cell must carry one of each.
        words: Words that the cells get.
        reason: Why the cells are left out, for an exclusion.
    """

    when: Mapping[str, tuple[str, ...]]
    words: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class SuiteFile:
    """A suite as written.

    Attributes:
        name: Its registered name, or the file's.
        grids: What it is made of.
        overrides: Words for some cells.
        exclusions: Cells that are left out, with reasons.
        includes: Other suites whose cells come first.
        folder: Folder of the file, where files that it includes are looked for.
    """

    name: str
    grids: Sequence[Grid]
    overrides: Sequence[Rule] = ()
    exclusions: Sequence[Rule] = ()
    includes: Sequence[str] = ()
    folder: Path = Path()


def find_suite(name: str, catalogue: Catalogue, folder: Path | None = None) -> SuiteFile:
    """Return the suite that is registered as *name*, or written in the file of that path.

    Args:
        name: A registered name, or a path that ends in ``.yaml`` or ``.yml``.
        catalogue: What the plugins offer.
        folder: What a relative path starts from; None for the working directory.

    Raises:
        UsageError: If there is none, or the file is not written as a suite is.
    """
    if name.endswith(ENDINGS):
        path = (folder or Path()) / name
        return _read(path.stem, path)
    suite = catalogue.get(Suite, name)
    return _read(suite.name, Path(suite.file))


def _read(name: str, path: Path) -> SuiteFile:
    try:
        return replace(_suite(name, read_yaml(path)), folder=path.parent)
    except UsageError as error:
        raise UsageError(f"suite {path}: {error}") from None


def _suite(name: str, content: Mapping[Any, Any]) -> SuiteFile:
    _check_keys(content, _TOP_KEYS, "key of a suite")
    top = {key: value for key, value in content.items() if key in _GRID_KEYS}
    grids = [_grid(top, each) for each in _listed(content.get("grids"))]
    if "problems" in top or "problem" in top:
        grids.insert(0, _grid(top, {}))
    if not grids and not content.get("include"):
        raise UsageError("it names no problem. Add one, such as problems: [digits_cnn_bn].")
    return SuiteFile(
        name=name,
        grids=grids,
        overrides=[_rule(each, "words") for each in _listed(content.get("overrides"))],
        exclusions=[_rule(each, "reason") for each in _listed(content.get("exclude"))],
        includes=[str(each) for each in _listed(content.get("include"))],
    )


def _grid(top: Mapping[str, Any], own: Any) -> Grid:
    if not isinstance(own, Mapping):
        raise UsageError(f"grids: {own!r} is no grid: expected keys such as problems: [...].")
    _check_keys(own, _GRID_KEYS, "key of a grid")
    own_axes = {_LISTS.get(key, key) for key in own}
    kept = {key: value for key, value in top.items() if _LISTS.get(key, key) not in own_axes}
    merged = {**kept, **own, "words": {**_words(top), **_words(own)}}
    axes = {}
    for axis in AXES:
        given = merged.get(f"{axis}s", merged.get(axis))
        if given is not None:
            axes[axis] = [_choice(axis, each) for each in _listed(given)]
    for axis in ("problem", "optimizer"):
        if not axes.get(axis):
            raise UsageError(f"a grid names no {axis}. Add one: {axis}s: [...].")
    return Grid(axes=axes, seeds=merged.get("seeds"), words=merged["words"])


def _choice(axis: str, given: Any) -> Choice:
    """Return a choice of *axis* from a name, or from a mapping with the name in it."""
    if not isinstance(given, Mapping):
        return Choice(name=str(given))
    values = {str(key): value for key, value in given.items()}
    key = "train" if axis == "ablation" else "name"
    name = values.pop(key, "trained" if axis == "ablation" else None)
    if name is None:
        raise UsageError(f"{axis} {values}: its name is missing. Add name: ...")
    return Choice(name=str(name), values=values)


def _rule(given: Any, says: str) -> Rule:
    if not isinstance(given, Mapping):
        raise UsageError(f"{given!r} is no rule: expected a mapping with {says}.")
    content = dict(given)
    words, reason = _words(content), str(content.pop("reason", ""))
    content.pop("words", None)
    when = content.pop("when", content)
    if not isinstance(when, Mapping) or not when:
        raise UsageError(f"{given} says for no cell. Name one, such as norm: group_norm.")
    _check_keys(when, AXES, "axis")
    if says == "words" and not words:
        raise UsageError(f"the override for {dict(when)} has no words. Add words: {{lr: 0.1}}.")
    if says == "reason" and not reason:
        raise UsageError(f"the exclusion of {dict(when)} gives no reason. Add reason: ...")
    names = {axis: tuple(str(name) for name in _listed(each)) for axis, each in when.items()}
    return Rule(when=names, words=words, reason=reason)


def _words(content: Mapping[str, Any]) -> dict[str, Any]:
    words = content.get("words") or {}
    if not isinstance(words, Mapping):
        raise UsageError(f"words: {words!r} are no words: expected NAME: VALUE pairs.")
    return {str(name): value for name, value in words.items()}


def _check_keys(content: Mapping[Any, Any], known: Iterable[str], kind: str) -> None:
    for key in content:
        if key not in known:
            raise unknown_name(kind, str(key), known)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
