"""From a suite file to requests: one for each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from normbench.descriptions import Problem
from normbench.errors import UsageError
from normbench.overrides import parse_mask, parse_seeds
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.resolve import Request, request_label, resolve
from normbench.suites.files import Choice, Grid, Rule, SuiteFile, Trials, find_suite
from normbench.suites.schema import AXES

# Values of these axes are words of the section of the same name; an optimizer's are bare.
_PREFIX = {axis: f"{axis}." for axis in AXES} | {"optimizer": ""}


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A cell that a suite leaves out, and why."""

    cell: Mapping[str, str]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a suite asks for.

    Attributes:
        requests: One for each cell, in the order of the file; no cell comes twice.
        exclusions: The cells that were left out.
        title: What the suite is about; empty if it does not say.
        repeated: The cells that were written more than once, each said once, in words.
        references: Those of the requests whose rows the others are compared with, at most one for
            each problem and protocol; empty if the suite declares none.
        trials: How the cells are tuned first; None if they are not.
    """

    requests: Sequence[Request]
    exclusions: Sequence[Exclusion] = field(default_factory=tuple)
    title: str = ""
    repeated: Sequence[str] = field(default_factory=tuple)
    references: Sequence[Request] = field(default_factory=tuple)
    trials: Trials | None = None


def expand(
    suite: SuiteFile, catalogue: Catalogue, words: Sequence[str] = (), seeds: Any = None
) -> Plan:
    """Return a request for each cell of *suite*.

    Args:
        suite: The suite as written.
        catalogue: Where included suites are found.
        words: Words for every cell; they win over the suite's.
        seeds: Seeds for every cell in place of the suite's.

    Raises:
        UsageError: If suites include each other, or an override or exclusion concerns no cell.
    """
    return _expand(suite, catalogue, tuple(words), seeds, ())


def as_known_now(plan: Plan, catalogue: Catalogue) -> Plan:
    """Return *plan* for a look at it: what waits for a setting that is tuned first stands alone.

    Args:
        plan: What a suite asks for.
        catalogue: What the plugins offer, with the settings of the store.
    """
    if plan.trials is None:
        return plan
    known = [_as_known_now(request, catalogue) for request in plan.requests]
    references = [_as_known_now(request, catalogue) for request in plan.references]
    return replace(plan, requests=known, references=references)


def _as_known_now(request: Request, catalogue: Catalogue) -> Request:
    if request.setting_of is None:
        return request
    try:
        resolve(request, catalogue)
    except UsageError:
        return replace(request, setting_of=None)
    return request


def _expand(
    suite: SuiteFile,
    catalogue: Catalogue,
    words: tuple[str, ...],
    seeds: Any,
    above: tuple[str, ...],
) -> Plan:
    if suite.name in above:
        chain = " > ".join((*above, suite.name))
        raise UsageError(f"suites include each other: {chain}. Take one include out.")
    cells = _Cells()
    for name in suite.includes:
        included = find_suite(name, catalogue, suite.folder)
        cells.include(_expand(included, catalogue, words, seeds, (*above, suite.name)))
    used: set[int] = set()
    for grid in suite.grids:
        for cell in _cells(grid):
            named = {axis: choice.name for axis, choice in cell.items()}
            excluded = [rule for rule in suite.exclusions if _holds(rule, named, used)]
            if excluded:
                cells.exclusions.append(Exclusion(cell=named, reason=excluded[0].reason))
                continue
            rules = [rule for rule in suite.overrides if _holds(rule, named, used)]
            request = _request(cell, _Own.of(grid, _values(cell), rules), words, seeds)
            cells.add(request, cell)
    _refuse_idle(suite, used)
    _refuse_empty(suite, cells)
    return Plan(
        requests=tuple(cells.requests.values()),
        exclusions=tuple(cells.exclusions),
        title=suite.title,
        repeated=tuple(cells.repeated),
        references=_references(suite, cells, catalogue) or tuple(cells.references),
        trials=suite.trials or _included(suite, cells.trials),
    )


def _included(suite: SuiteFile, trials: Sequence[Trials]) -> Trials | None:
    """Return how included suites are tuned.

    Raises:
        UsageError: If they do not agree.
    """
    if any(each != trials[0] for each in trials):
        raise UsageError(
            f"suite {suite.path}: the suites that it includes are tuned in different ways. Say how "
            "here: tune: {trials: 20}"
        )
    return trials[0] if trials else None


@dataclass(frozen=True, kw_only=True)
class _Own:
    """What a cell gets from its grid and from the overrides that concern it."""

    words: Mapping[str, Any]
    seeds: Any
    setting_of: str | None

    @classmethod
    def of(cls, grid: Grid, values: Mapping[str, Any], rules: Sequence[Rule]) -> _Own:
        """Return what *grid*, the *values* of a cell and *rules* say; later wins."""
        words = {**grid.words, **values}
        seeds, setting_of = grid.seeds, grid.setting_of
        for rule in rules:
            words |= rule.words
            seeds = seeds if rule.seeds is None else rule.seeds
            setting_of = rule.setting_of or setting_of
        return cls(words=words, seeds=seeds, setting_of=setting_of)


@dataclass
class _Cells:
    """What was expanded so far.

    Attributes:
        requests: By what tells them apart.
        choices: What each was made of; included ones are told by their suite.
        exclusions: Cells that were left out.
        repeated: Cells met before.
        references: Those that an included suite declares.
        trials: How included suites are tuned.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    choices: dict[str, Mapping[str, Choice]] = field(default_factory=dict)
    exclusions: list[Exclusion] = field(default_factory=list)
    repeated: dict[str, None] = field(default_factory=dict)
    references: list[Request] = field(default_factory=list)
    trials: list[Trials] = field(default_factory=list)

    def include(self, plan: Plan) -> None:
        """Take over the cells of an included suite."""
        self.requests |= {repr(request): request for request in plan.requests}
        self.exclusions += plan.exclusions
        self.references += plan.references
        self.trials += [plan.trials] if plan.trials else []
        self.repeated |= dict.fromkeys(plan.repeated)

    def add(self, request: Request, cell: Mapping[str, Choice]) -> None:
        """Add a cell; one that an included suite has as well is meant to be the same."""
        key = repr(request)
        if key in self.choices:
            self.repeated[request_label(request)] = None
        self.requests[key] = request
        self.choices[key] = cell


def _references(suite: SuiteFile, cells: _Cells, catalogue: Catalogue) -> tuple[Request, ...]:
    """Return the declared reference of each problem and protocol.

    Raises:
        UsageError: If the declaration concerns no cell, or several of one problem.
    """
    if not suite.reference:
        return ()
    shown = ", ".join(f"{axis}: {choice.name}" for axis, choice in suite.reference.items())
    found: dict[tuple[str, str | None], list[str]] = {}
    whole: dict[str, Mapping[str, Choice]] = {}
    for key, cell in cells.choices.items():
        default = catalogue.get(Problem, cell["problem"].name).norm
        whole[key] = {"norm": Choice(name=default), "ablation": Choice(name="trained"), **cell}
        if all(choice.covers(whole[key].get(axis)) for axis, choice in suite.reference.items()):
            request = cells.requests[key]
            found.setdefault((request.problem, request.protocol), []).append(key)
    if not found:
        raise UsageError(
            f"suite {suite.path}, {suite.reference_place}: no cell has {shown}. Name a norm, an "
            "ablation and an optimizer that the suite lists."
        )
    meant = [_meant(suite.reference, keys, whole) for keys in found.values()]
    for first, *others in meant:
        if others:
            raise UsageError(
                f"suite {suite.path}, {suite.reference_place}: {shown} holds for "
                f"{request_label(cells.requests[first])} and for "
                f"{request_label(cells.requests[others[0]])}. "
                f"{_telling_apart(whole[first], whole[others[0]])}"
            )
    return tuple(cells.requests[first] for first, *_ in meant)


def _meant(
    declared: Mapping[str, Choice], keys: Sequence[str], cells: Mapping[str, Mapping[str, Choice]]
) -> Sequence[str]:
    """Return those of the cells *keys* that a declaration means, if it holds for several.

    Without an ablation it means the trained ones where there are such; a name alone means a choice
    as it comes, where the suite lists that.
    """
    if "ablation" not in declared:
        declared = {**declared, "ablation": Choice(name="trained")}
        keys = [key for key in keys if cells[key]["ablation"].name == "trained"] or keys
    for axis, choice in declared.items():
        keys = [key for key in keys if cells[key][axis] == choice] or keys
    return keys


def _telling_apart(one: Mapping[str, Choice], other: Mapping[str, Choice]) -> str:
    """Return what to add to a declaration that holds for two cells."""
    for axis in ("norm", "ablation", "optimizer"):
        for mine, their in ((one[axis], other[axis]), (other[axis], one[axis])):
            if not mine.covers(their):
                named = mine.name != their.name or not mine.values
                word = mine.name if named else _mapping(axis, mine)
                return f"Say more, such as {axis}: {word}, so that one row of each problem remains."
    return (
        "They differ in words, seeds or setting_of of their grids, which no reference can name: "
        "write values into the lists, such as optimizers: [{name: sgd, lr: 0.1}], or take one of "
        "the two out."
    )


def _mapping(axis: str, choice: Choice) -> str:
    head = "train" if axis == "ablation" else "name"
    values = {head: choice.name, **choice.values}
    return f"{{{', '.join(f'{name}: {typed(value)}' for name, value in values.items())}}}"


def _refuse_empty(suite: SuiteFile, cells: _Cells) -> None:
    if not cells.requests:
        raise UsageError(
            f"suite {suite.path} has no cell left: all {len(cells.exclusions)} are excluded. Take "
            "an exclusion out."
        )


def _cells(grid: Grid) -> Iterator[dict[str, Choice]]:
    axes = [axis for axis in AXES if axis in grid.axes]
    for choices in product(*(grid.axes[axis] for axis in axes)):
        yield dict(zip(axes, choices, strict=True))


def _holds(rule: Rule, named: Mapping[str, str], used: set[int]) -> bool:
    holds = all(named.get(axis) in names for axis, names in rule.when.items())
    if holds:
        used.add(id(rule))
    return holds


def _values(cell: Mapping[str, Choice]) -> dict[str, Any]:
    return {
        f"{_PREFIX[axis]}{name}": value
        for axis, choice in cell.items()
        for name, value in choice.values.items()
        if (axis, name) != ("ablation", "sites")
    }


def _request(cell: Mapping[str, Choice], own: _Own, words: tuple[str, ...], seeds: Any) -> Request:
    ablation, norm = cell.get("ablation"), cell.get("norm")
    protocol = cell.get("protocol")
    asked = own.seeds if seeds is None else seeds
    return Request(
        problem=cell["problem"].name,
        optimizer=cell["optimizer"].name,
        norm=None if norm is None else norm.name,
        ablation=None if ablation is None else ablation.name,
        sites=None if ablation is None else parse_mask(ablation.values.get("sites")),
        protocol=None if protocol is None else protocol.name,
        seeds=parse_seeds(asked) if isinstance(asked, str) else asked,
        words=(*(_word(name, value) for name, value in own.words.items()), *words),
        setting_of=own.setting_of,
    )


def _word(name: str, value: Any) -> str:
    """Return a word as it is typed; only in brackets can a list be empty."""
    listed = isinstance(value, list | tuple)
    return f"{name}=[{typed(value)}]" if listed else f"{name}={typed(value)}"


def _refuse_idle(suite: SuiteFile, used: set[int]) -> None:
    """Refuse a rule that concerns no cell: a name in it is misspelt, or a list was changed."""
    for rule in (*suite.overrides, *suite.exclusions):
        if id(rule) not in used:
            shown = ", ".join(f"{axis}: {' or '.join(names)}" for axis, names in rule.when.items())
            raise UsageError(
                f"suite {suite.path}, {rule.place}: no cell has {shown}. Correct the names, or "
                "take it out."
            )
