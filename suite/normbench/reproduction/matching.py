"""Which published number belongs to which row of a suite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normbench.leaderboard.choosing import base_problem
from normbench.parameters import Value, typed
from normbench.plugins import Catalogue
from normbench.publications import Publication, PublishedResult
from normbench.rules import Protocol
from normbench.specs import RunSpec

_ROUNDING = 1e-6
_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class Match:
    """A published number and the row that repeats it.

    Attributes:
        published: The number.
        spec: A spec of the row.
        elsewhere: Conditions of the published runs that the row does not share, in words.
        changed: Words of the suite or the user that made the row differ from its protocol, and
            that the published conditions do not ask for.
    """

    published: PublishedResult
    spec: RunSpec
    elsewhere: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Published numbers beside the rows of a suite.

    Attributes:
        found: The pairs, in the order of the suite.
        unmatched: Published numbers of the suite's problems and protocols that no row repeats.
        other_rules: How many more are known of these problems under other protocols.
    """

    found: tuple[Match, ...] = ()
    unmatched: tuple[PublishedResult, ...] = ()
    other_rules: int = 0


def match(specs: Sequence[RunSpec], catalogue: Catalogue) -> Matches:
    """Return what is published of the rows *specs*, one spec each.

    A number belongs to a row of the same problem, norm, optimizer, protocol and metric with no
    ablation. Conditions that tell published numbers apart must hold for the row; others that do
    not hold are told.
    """
    problems = {base_problem(spec.problem.name, catalogue) for spec in specs}
    known = [r for r in _published(catalogue) if base_problem(r.problem, catalogue) in problems]
    protocols = {spec.protocol.name for spec in specs}
    own = [result for result in known if result.protocol in protocols]
    telling = _telling(own, catalogue)
    found = [
        _match(result, spec)
        for spec in specs
        for result in own
        if _key(result, catalogue) == _spec_key(spec, catalogue)
        and _repeats(spec, result, telling[_key(result, catalogue)], catalogue)
    ]
    taken = {id(each.published) for each in found}
    return Matches(
        found=_nearest(found),
        unmatched=tuple(result for result in own if id(result) not in taken),
        other_rules=len(known) - len(own),
    )


def _nearest(found: Sequence[Match]) -> tuple[Match, ...]:
    """Return of the rows that repeat a number those that differ least from its conditions."""

    def distance(each: Match) -> tuple[int, int]:
        return len(each.changed), len(each.elsewhere)

    least: dict[int, tuple[int, int]] = {}
    for each in found:
        key = id(each.published)
        least[key] = min(least.get(key, distance(each)), distance(each))
    return tuple(each for each in found if distance(each) == least[id(each.published)])


def _published(catalogue: Catalogue) -> Iterable[PublishedResult]:
    for offer in catalogue.offers(Publication):
        yield from offer.component.load()(offer.component.name)


def _key(result: PublishedResult, catalogue: Catalogue) -> _Key:
    problem = base_problem(result.problem, catalogue)
    return problem, result.norm, result.optimizer, result.protocol, result.metric


def _spec_key(spec: RunSpec, catalogue: Catalogue) -> _Key:
    problem = base_problem(spec.problem.name, catalogue)
    metric = spec.problem.metric.name
    return problem, spec.norm.name, spec.optimizer.name, spec.protocol.name, metric


def _telling(results: Sequence[PublishedResult], catalogue: Catalogue) -> dict[_Key, set[str]]:
    """Return the conditions that tell numbers of one key apart."""
    groups: dict[_Key, list[PublishedResult]] = {}
    for result in results:
        groups.setdefault(_key(result, catalogue), []).append(result)
    return {
        key: {
            name
            for result in members
            for name in result.conditions
            if any(each.conditions.get(name) != result.conditions[name] for each in members)
        }
        for key, members in groups.items()
    }


def _repeats(
    spec: RunSpec, result: PublishedResult, telling: set[str], catalogue: Catalogue
) -> bool:
    if spec.identity.get("ablation"):
        return False
    values = conditions_of(spec)
    if any(_differs(values.get(name), result.conditions.get(name)) for name in telling):
        return False
    allowed = {**_followed(spec, catalogue), **_of_norm(result, spec)}
    changed: Mapping[str, Value] = spec.identity["norm"]["parameters"]
    if any(
        name not in allowed or _differs(value, allowed[name]) for name, value in changed.items()
    ):
        return False
    own = spec.norm.parameters
    return not any(_differs(own[name], value) for name, value in _of_norm(result, spec).items())


def _of_norm(result: PublishedResult, spec: RunSpec) -> dict[str, Value]:
    """Return the published conditions that are the norm's, the optimizer's left out."""
    own = spec.norm.parameters.keys() - spec.optimizer.parameters.keys()
    return {name: value for name, value in result.conditions.items() if name in own}


def _followed(spec: RunSpec, catalogue: Catalogue) -> dict[str, Value]:
    """Return the norm's parameters that ``protocol.as_published=true`` stands for."""
    if not spec.protocol.rules.as_published:
        return {}
    words = catalogue.get(Protocol, spec.protocol.name).published
    names = ("*", spec.problem.dataset.name, spec.problem.name, spec.norm.name, spec.optimizer.name)
    return {
        word.removeprefix("norm."): value
        for name in names
        for word, value in words.get(name, {}).items()
        if word.startswith("norm.")
    }


def conditions_of(spec: RunSpec) -> dict[str, Value]:
    """Return the values of a row by the names that published conditions have."""
    return {
        **spec.norm.parameters,
        **spec.optimizer.parameters,
        "lr": spec.learning_rate,
        "batch_size": spec.problem.training.batch_size,
        "epochs": spec.epochs,
    }


def _match(result: PublishedResult, spec: RunSpec) -> Match:
    values = conditions_of(spec)
    elsewhere = tuple(
        f"{name}={typed(value)}" + (f" (here {typed(values[name])})" if name in values else "")
        for name, value in result.conditions.items()
        if _differs(values.get(name), value)
    )
    asked = {f"problem.{name}={typed(value)}" for name, value in result.conditions.items()}
    changed = tuple(word for word in spec.deviations if word not in asked)
    return Match(published=result, spec=spec, elsewhere=elsewhere, changed=changed)


def _differs(one: Value | None, other: Value | None) -> bool:
    """Whether two values differ by more than the rounding of printed numbers."""
    if isinstance(one, float) or isinstance(other, float):
        numbers = [float(v) for v in (one, other) if isinstance(v, int | float)]
        return len(numbers) < 2 or not math.isclose(*numbers, rel_tol=_ROUNDING)
    return one != other
