"""Where a suite's rows deviate from their sources, from their protocol, and from one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from normbench.descriptions import Component, Dataset, Network, Norm, Optimizer, Problem
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.reproduction.document import Chapter, chapter
from normbench.reproduction.planned import Planned
from normbench.rules import Protocol
from normbench.settings import AS_PUBLISHED
from normbench.specs import RunSpec
from normbench.suites import Exclusion

_SHOWN = 6


def deviations_chapter(
    found: Planned, exclusions: Sequence[Exclusion], catalogue: Catalogue
) -> Chapter:
    """Return the chapter on deviations: declared ones, rows' own, and what is left out."""
    specs = [each.spec for each in found.rows]
    protocols = _protocols(specs, catalogue)
    lines: dict[str, Sequence[str]] = {
        "Corrected or as published": list(_corrected(specs, protocols)),
        "Words that change the rules of rows": list(_own(specs)),
        "Settings": list(_settings(specs)),
        **{
            f"What {AS_PUBLISHED} follows under protocol {protocol.name}": list(_followed(protocol))
            for protocol in protocols
        },
        **{
            f"Declared by {component.kind} {component.name}": component.source.deviations
            for component in _components(specs, catalogue)
            if component.source.deviations
        },
        "Cells that the suite leaves out": [
            f"{' '.join(each.cell.values())}: {each.reason}" for each in exclusions
        ],
    }
    return chapter("Deviations", (), lines)


def _protocols(specs: Sequence[RunSpec], catalogue: Catalogue) -> list[Protocol]:
    names = dict.fromkeys(spec.protocol.name for spec in specs)
    return [catalogue.get(Protocol, name) for name in names]


def _components(specs: Sequence[RunSpec], catalogue: Catalogue) -> Iterator[Component]:
    """Yield the descriptions behind *specs*, each once, protocols first."""
    named: Mapping[type[Component], Iterator[str]] = {
        Protocol: (spec.protocol.name for spec in specs),
        Problem: (spec.problem.name for spec in specs),
        Dataset: (spec.problem.dataset.name for spec in specs),
        Network: (spec.problem.network.name for spec in specs),
        Norm: (spec.norm.name for spec in specs),
        Optimizer: (spec.optimizer.name for spec in specs),
    }
    for kind, names in named.items():
        for name in dict.fromkeys(names):
            yield catalogue.get(kind, name)


def _own(specs: Sequence[RunSpec]) -> Iterator[str]:
    """Yield the words that make rows differ from their problem and protocol as written."""
    groups: dict[str, list[str]] = {}
    for spec in specs:
        for word in spec.deviations:
            name = f"{spec.problem.name} {spec.norm_label} {spec.optimizer.name}"
            groups.setdefault(word, []).append(name)
    for word, names in groups.items():
        yield f"{word}: {_several(names, len(specs))}"


def _several(names: Sequence[str], everything: int) -> str:
    if len(names) == everything:
        return f"all {everything} rows"
    distinct = list(dict.fromkeys(names))
    shown = ", ".join(distinct[:_SHOWN])
    more = len(distinct) - _SHOWN
    return f"{len(names)} of {everything} rows: {shown}" + (f" and {more} more" if more > 0 else "")


def _followed(protocol: Protocol) -> Iterator[str]:
    for name, words in protocol.published.items():
        told = " ".join(f"{word}={typed(value)}" for word, value in words.items())
        yield f"{'all' if name == '*' else name}: {told}"


def _corrected(specs: Sequence[RunSpec], protocols: Sequence[Protocol]) -> Iterator[str]:
    for protocol in protocols:
        if not protocol.published:
            continue
        members = [spec for spec in specs if spec.protocol.name == protocol.name]
        followed = sum(spec.protocol.rules.as_published for spec in members)
        if followed == len(members):
            yield f"Protocol {protocol.name}: all rows follow the source ({AS_PUBLISHED})."
        elif followed:
            yield (
                f"Protocol {protocol.name}: {followed} of {len(members)} rows follow the source "
                f"({AS_PUBLISHED}); the others correct it."
            )
        else:
            yield (
                f"Protocol {protocol.name} is corrected: what is listed below differs from the "
                f"source on purpose. {AS_PUBLISHED} follows the source where it is said below."
            )


def _settings(specs: Sequence[RunSpec]) -> Iterator[str]:
    origins: dict[str, int] = {}
    for spec in specs:
        words = "untuned (the optimizer's defaults)"
        origin = words if spec.setting_origin == "default" else spec.setting_origin
        origins[origin] = origins.get(origin, 0) + 1
    for origin, count in origins.items():
        yield f"{count} of {len(specs)} rows: {origin}"
