"""From a suite file to requests: one for each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from normbench.errors import UsageError
from normbench.overrides import parse_mask, parse_seeds
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.resolve import Request
from normbench.suites.files import AXES, Choice, Grid, Rule, SuiteFile, find_suite

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
    """

    requests: Sequence[Request]
    exclusions: Sequence[Exclusion] = field(default_factory=tuple)


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
    requests: dict[str, Request] = {}
    exclusions: list[Exclusion] = []
    for name in suite.includes:
        included = find_suite(name, catalogue, suite.folder)
        plan = _expand(included, catalogue, words, seeds, (*above, suite.name))
        requests |= {repr(request): request for request in plan.requests}
        exclusions += plan.exclusions
    used: set[int] = set()
    for grid in suite.grids:
        for cell in _cells(grid):
            named = {axis: choice.name for axis, choice in cell.items()}
            excluded = [rule for rule in suite.exclusions if _holds(rule, named, used)]
            if excluded:
                exclusions.append(Exclusion(cell=named, reason=excluded[0].reason))
                continue
            own = {**grid.words, **_values(cell)}
            for rule in suite.overrides:
                if _holds(rule, named, used):
                    own |= rule.words
            request = _request(cell, own, words, grid.seeds if seeds is None else seeds)
            requests[repr(request)] = request
    _refuse_idle(suite, used)
    return Plan(requests=tuple(requests.values()), exclusions=tuple(exclusions))


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


def _request(
    cell: Mapping[str, Choice], values: Mapping[str, Any], words: tuple[str, ...], seeds: Any
) -> Request:
    ablation, norm = cell.get("ablation"), cell.get("norm")
    protocol = cell.get("protocol")
    return Request(
        problem=cell["problem"].name,
        optimizer=cell["optimizer"].name,
        norm=None if norm is None else norm.name,
        ablation=None if ablation is None else ablation.name,
        sites=None if ablation is None else parse_mask(ablation.values.get("sites")),
        protocol=None if protocol is None else protocol.name,
        seeds=parse_seeds(seeds) if isinstance(seeds, str) else seeds,
        words=(*(_word(name, value) for name, value in values.items()), *words),
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
                f"suite {suite.name}: no cell has {shown}, which an override or exclusion is for. "
                "Correct the names, or take it out."
            )
