"""Reading a suite file: its grammar, checked before anything is expanded.

Lists make a grid; every combination is a cell. What ``grids`` entries leave out they take from the
top of the file::

    title: Two norms on digits
    reference: {norm: batch_norm, optimizer: sgd}   # what the others are compared with
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
        seeds: 5
    exclude:
      - {problem: fmnist_2c2d, optimizer: adam, reason: takes too long}
    include: [other_suite, file.yaml]
    tune: {trials: 20, method: sobol, search: {lr: "log:0.001:1", adam.beta1: none}}

A reference without an ablation is the trained one where the suite lists that; a name alone is that
entry as it comes, where there is one without values.

``setting_of: norm=batch_norm``, at the top, in a grid or in an override, takes another cell's known
setting.

:mod:`normbench.suites.schema` holds the grammar; names and values are checked by
:mod:`normbench.suites.names`. Complaints say file, line and key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yaml import YAMLError

from normbench.descriptions import Suite
from normbench.errors import PluginError, UsageError
from normbench.overrides import read_yaml
from normbench.plugins import Catalogue
from normbench.suites import schema
from normbench.suites.names import check_names
from normbench.suites.places import PlacedError, Places, placed
from normbench.suites.schema import AXES

_LISTS = {f"{axis}s": axis for axis in AXES}
_GRID_KEYS = (*_LISTS, *AXES, "seeds", "words", "setting_of")
ENDINGS = (".yaml", ".yml")
_EMPTY = (
    "it is empty. Expected at least problems: [digits_cnn_bn] and optimizers: [sgd], each on a "
    "line of its own."
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One entry of an axis: a name, and values that go with it."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def covers(self, other: Choice | None) -> bool:
        """Whether *other* has this name and at least these values."""
        if other is None or other.name != self.name:
            return False
        return all(other.values.get(name) == value for name, value in self.values.items())


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Lists whose every combination is a cell.

    Attributes:
        axes: Choices by axis; an axis that is left to its default has none.
        seeds: A number of seeds or the seeds; None for the protocol's.
        setting_of: Words of the cell whose known setting is taken; None for each cell's own.
        words: Words for every cell.
    """

    axes: Mapping[str, Sequence[Choice]]
    seeds: Any = None
    setting_of: str | None = None
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Something said of the cells that a condition holds for.

    Attributes:
        when: Names by axis; a cell must carry one of each.
        words: Words that the cells get.
        seeds: Seeds that the cells get in place of their grid's; None leaves them.
        setting_of: Words of the cell whose known setting they take; None leaves it.
        reason: Why the cells are left out, for an exclusion.
        place: Where it is written, in words.
    """

    when: Mapping[str, tuple[str, ...]]
    words: Mapping[str, Any] = field(default_factory=dict)
    seeds: Any = None
    setting_of: str | None = None
    reason: str = ""
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """How each cell of a suite is tuned, all with the same budget; see ``normbench tune``.

    Attributes:
        trials: Settings to try; None for 20, or for all where there are fewer.
        method: How they are drawn.
        search: Words ``NAME=FORM`` for all optimizers that have that parameter, or
            ``OPTIMIZER.NAME=FORM`` for one.
        draw_seed: What the draw depends on beside the space.
        tuning_seeds: Number of seeds that each is trained at.
    """

    trials: int | None = None
    method: str = "sobol"
    search: tuple[str, ...] = ()
    draw_seed: int = 0
    tuning_seeds: int = 1

    def __str__(self) -> str:
        """Return it in words, such as ``20 trials of each cell, method sobol``."""
        parts = [f"{self.trials or '20 or fewer'} trials of each cell, method {self.method}"]
        parts += [f"search {' '.join(self.search)}"] if self.search else []
        parts += [f"draw seed {self.draw_seed}"] if self.draw_seed else []
        parts += [f"{self.tuning_seeds} tuning seeds"] if self.tuning_seeds > 1 else []
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class SuiteFile:
    """A suite as written.

    Attributes:
        name: Its registered name, or the file's.
        title: What it is about, in a line; empty if it does not say.
        grids: What it is made of.
        overrides: Words and seeds for some cells.
        exclusions: Cells that are left out, with reasons.
        includes: Other suites whose cells come first.
        reference: Choices by axis of the row that others are compared with; empty if none is
            declared.
        reference_place: Where that is written, in words.
        trials: How cells are tuned first; None if they are not.
        path: The file.
    """

    name: str
    title: str = ""
    grids: Sequence[Grid]
    overrides: Sequence[Rule] = ()
    exclusions: Sequence[Rule] = ()
    includes: Sequence[str] = ()
    reference: Mapping[str, Choice] = field(default_factory=dict)
    reference_place: str = "reference"
    trials: Trials | None = None
    path: Path = Path()

    @property
    def folder(self) -> Path:
        """Folder of the file, where files that it includes are looked for."""
        return self.path.parent


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
        return _read(suite_name(name), path, catalogue)
    if name not in catalogue.names(Suite):
        refuse_other_files(name, folder)
    suite = catalogue.get(Suite, name)
    return _read(suite.name, Path(suite.file), catalogue)


def refuse_other_files(name: str, folder: Path | None = None) -> None:
    """Raise :class:`UsageError` if there is a *name* in *folder* that is no YAML file."""
    path = (folder or Path()) / name
    if path.is_dir():
        inside = sorted(each.name for each in path.iterdir() if each.suffix in ENDINGS)
        such = f", such as {path / inside[0]}" if inside else "; it holds none"
        raise UsageError(f"suite {name}: it is a folder. Expected a YAML file of a suite{such}.")
    if path.suffix == ".py" and path.is_file():
        raise UsageError(
            f"suite {name}: it is a Python file. Expected a YAML file of a suite, or a registered "
            f"name; if it is a plugin that offers suites: --plugin {name}, with the suite's name."
        )
    if path.is_file():
        raise UsageError(
            f"suite {name}: it is a file whose name does not end in {' or '.join(ENDINGS)}. "
            "Expected a YAML file of a suite; if it is one, rename it."
        )


def suite_name(name: str) -> str:
    """Return what the suite is called that is registered as *name*, or written in such a file."""
    return Path(name).stem if name.endswith(ENDINGS) else name


def _read(name: str, path: Path, catalogue: Catalogue) -> SuiteFile:
    places = None
    try:
        places = _places(path)
        content = read_yaml(path)
        _refuse_nothing(content)
        schema.check(content)
        check_names(content, catalogue)
        return replace(_suite(name, content, places), path=path)
    except PlacedError as error:
        line = error.line or (places.line(error.path) if places else None)
        place = placed(error.path, line)
        raise UsageError(
            f"suite {', '.join(filter(None, [str(path), place]))}: {error.message}"
        ) from None
    except PluginError as error:
        raise PluginError(f"suite {path}: {error}") from None
    except UsageError as error:
        raise UsageError(f"suite {path}: {error}") from None


def _refuse_nothing(content: Mapping[Any, Any]) -> None:
    if not content:
        raise PlacedError((), _EMPTY)


def _places(path: Path) -> Places | None:
    """Return where keys stand; None if that cannot be told, which reading the file will explain."""
    try:
        return Places(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return None


def _suite(name: str, content: Mapping[str, Any], places: Places | None) -> SuiteFile:
    top = {key: value for key, value in content.items() if key in _GRID_KEYS}
    own = _listed(content.get("grids"))
    grids = [_grid(top, each, ("grids", index)) for index, each in enumerate(own)]
    if top.get("problems") or top.get("problem"):
        grids.insert(0, _grid(top, {}, ()))
    if not grids and not content.get("include"):
        raise PlacedError((), "it names no problem. Add one, such as problems: [digits_cnn_bn].")
    rules = {
        key: [
            _rule(each, key, index, places) for index, each in enumerate(_listed(content.get(key)))
        ]
        for key in ("overrides", "exclude")
    }
    return SuiteFile(
        name=name,
        title=content.get("title", ""),
        grids=grids,
        overrides=rules["overrides"],
        exclusions=rules["exclude"],
        includes=_listed(content.get("include")),
        reference={
            axis: _choice(axis, given)
            for axis, given in content.get("reference", {}).items()
            if given is not None
        },
        reference_place=placed(("reference",), places.line(("reference",)) if places else None),
        trials=_trials(content.get("tune")),
    )


def _trials(given: Mapping[str, Any] | None) -> Trials | None:
    if given is None:
        return None
    search = tuple(f"{name}={form}" for name, form in given.get("search", {}).items())
    return Trials(**{**given, "search": search})


def _grid(top: Mapping[str, Any], own: Mapping[str, Any], path: tuple[str | int, ...]) -> Grid:
    own_axes = {_LISTS.get(key, key) for key in own}
    kept = {key: value for key, value in top.items() if _LISTS.get(key, key) not in own_axes}
    merged = {**kept, **own}
    axes = {}
    for axis in AXES:
        given = merged.get(f"{axis}s", merged.get(axis))
        if given is not None:
            axes[axis] = [_choice(axis, each) for each in _listed(given)]
    for axis in ("problem", "optimizer"):
        if axis not in axes:
            raise PlacedError(path, f"this grid names no {axis}. Add one: {axis}s: [...].")
    words = {**(top.get("words") or {}), **(own.get("words") or {})}
    return Grid(
        axes=axes, seeds=merged.get("seeds"), setting_of=merged.get("setting_of"), words=words
    )


def _choice(axis: str, given: Any) -> Choice:
    """Return a choice of *axis* from a name, or from a mapping with the name in it."""
    if not isinstance(given, Mapping):
        return Choice(name=given)
    values = dict(given)
    name = values.pop("train", "trained") if axis == "ablation" else values.pop("name")
    return Choice(name=name, values=values)


def _rule(given: Mapping[str, Any], key: str, index: int, places: Places | None) -> Rule:
    content, path = dict(given), (key, index)
    words, seeds = content.pop("words", None) or {}, content.pop("seeds", None)
    setting_of = content.pop("setting_of", None)
    reason = content.pop("reason", "")
    when = content.pop("when", {}) | content
    if not when:
        raise PlacedError(path, "it says for no cell. Name one, such as norm: group_norm.")
    if key == "overrides" and not words and seeds is None and setting_of is None:
        raise PlacedError(path, "it has no words and no seeds. Add words: {lr: 0.1}.")
    if key == "exclude" and not reason:
        raise PlacedError(path, "it gives no reason. Add reason: ...")
    names = {axis: tuple(_listed(each)) for axis, each in when.items()}
    place = placed(path, places.line(path) if places else None)
    return Rule(
        when=names,
        words=words,
        seeds=seeds,
        setting_of=setting_of,
        reason=reason,
        place=place,
    )


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
