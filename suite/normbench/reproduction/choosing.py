"""Which figures the axes of a suite call for, and of which of its runs each is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.comparable import comparable
from normbench.plots.ablations import mode_of
from normbench.specs import RunSpec

MOST_CURVES = 10
MOST_RATES = 4


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A figure that the rows of a suite can give.

    Attributes:
        figure: One of :data:`normbench.plots.FIGURES`.
        rows: Specs of the rows that it is made of.
        about: What tells it from other figures of its kind, in words.
    """

    figure: str
    rows: tuple[RunSpec, ...]
    about: str


def wishes(specs: Sequence[RunSpec]) -> list[Wish]:
    """Return the figures of one problem that its rows call for.

    Batch sizes, learning rates, masks and ablations have a figure where rows differ in them and in
    nothing else that it could not show; every table has its curves.

    Args:
        specs: One spec for each row with a result, all of one problem.
    """
    special = [*_batch_sizes(specs), *_rates(specs), *_ablations(specs)]
    masked = {spec.row for wish in special if wish.figure == "masks" for spec in wish.rows}
    whole = [spec for spec in specs if spec.row not in masked or spec.mask_label in _PLAIN]
    return [*_curves(whole), *special]


_PLAIN = ("all", "none")


def _curves(specs: Sequence[RunSpec]) -> Iterator[Wish]:
    for members in _grouped(specs, lambda spec: comparable(spec.identity)):
        for which, part in _parts(members):
            about = f"{which}, {_rules(part[0])}" if which else _rules(part[0])
            yield Wish(figure="curves", rows=tuple(part), about=about)


def _parts(specs: Sequence[RunSpec]) -> Iterator[tuple[str, Sequence[RunSpec]]]:
    """Yield as many rows at a time as a figure can hold, and which these are in words.

    Rows of one norm that differ in its parameters or optimizers stay together.
    """
    if len(specs) <= MOST_CURVES:
        yield "", specs
        return
    names = [spec.norm.name for spec in specs]
    for own in dict.fromkeys(names):
        if names.count(own) > 1:
            yield from _chunks(own, [spec for spec in specs if spec.norm.name == own])
    single = [spec for spec in specs if names.count(spec.norm.name) == 1]
    yield from _chunks("norms that come once", single)


def _chunks(which: str, specs: Sequence[RunSpec]) -> Iterator[tuple[str, Sequence[RunSpec]]]:
    for start in range(0, len(specs), MOST_CURVES):
        part = specs[start : start + MOST_CURVES]
        number = f" ({start + 1} to {start + len(part)})" if len(specs) > MOST_CURVES else ""
        yield f"{which}{number}", part


def _batch_sizes(specs: Sequence[RunSpec]) -> Iterator[Wish]:
    """Yield a figure for each optimizer that was run at several batch sizes under the same rules.

    Where learning rates follow the batch size, so that no setting was run at two of them, the
    optimizer's name alone counts.
    """

    def rest(spec: RunSpec) -> str:
        problem = spec.identity["problem"]
        kept = {name: v for name, v in problem["training"].items() if name != "batch_size"}
        shared = {"problem": {**problem, "training": kept}, "protocol": spec.identity["protocol"]}
        return _text([shared, spec.identity.get("epochs"), spec.optimizer.name])

    for members in _grouped(specs, rest):
        swept = [
            spec
            for own in _grouped(members, lambda spec: _text(spec.identity["optimizer"]))
            for norm in _grouped(own, lambda spec: spec.norm_label)
            for spec in norm
            if _sizes(norm) > 1
        ]
        if _sizes(members) > 1:
            rows = tuple(swept or members)
            yield Wish(figure="batch_size", rows=rows, about=members[0].optimizer.name)


def _sizes(specs: Sequence[RunSpec]) -> int:
    return len({spec.problem.training.batch_size for spec in specs})


def _rates(specs: Sequence[RunSpec]) -> Iterator[Wish]:
    """Yield curves by learning rate, and the final score against it."""

    def rest(spec: RunSpec) -> str:
        optimizer = spec.identity["optimizer"]
        kept = {name: v for name, v in optimizer["parameters"].items() if name != "lr"}
        return _text({**spec.identity, "optimizer": {**optimizer, "parameters": kept}})

    swept = [
        members
        for members in _grouped(specs, rest)
        if len({spec.learning_rate for spec in members}) > 1
    ]
    for members in swept[:MOST_RATES]:
        yield Wish(figure="learning_rates", rows=tuple(members), about=_method(members[0]))
    everything = [spec for members in swept for spec in members]
    for members in _grouped(everything, lambda spec: comparable(spec.identity)):
        yield Wish(figure="sensitivity", rows=tuple(members), about=_rules(members[0]))


def _ablations(specs: Sequence[RunSpec]) -> Iterator[Wish]:
    """Yield panels by mask, and curves by what trains, for each norm with one optimizer."""

    def rest(spec: RunSpec) -> str:
        return _text([comparable(spec.identity), spec.identity["optimizer"]])

    for members in _grouped(specs, rest):
        bare = [spec for spec in members if spec.norm.name == "none"]
        carrying = [spec for spec in members if spec.norm.name != "none"]
        for own in _grouped(carrying, lambda spec: _text(spec.identity["norm"])):
            yield from _of_norm(own, bare)


def _of_norm(own: Sequence[RunSpec], bare: Sequence[RunSpec]) -> Iterator[Wish]:
    whole = [spec for spec in own if spec.mask_label == "all"]
    modes = [mode_of(spec) for spec in whole]
    if len(modes) > 1 and len(set(modes)) == len(modes):
        yield Wish(figure="ablations", rows=(*bare, *whole), about=_method(own[0]))
    if any(spec.mask_label != "all" for spec in own):
        yield Wish(figure="masks", rows=(*bare, *own), about=_method(own[0]))


def _grouped(specs: Iterable[RunSpec], key: Callable[[RunSpec], str]) -> Iterator[list[RunSpec]]:
    """Yield the specs of each key, in the order in which keys first appear."""
    groups: dict[str, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(key(spec), []).append(spec)
    yield from groups.values()


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _rules(spec: RunSpec) -> str:
    return " ".join([spec.protocol.name, *spec.deviations])


def _method(spec: RunSpec) -> str:
    return f"{spec.norm.name} with {spec.optimizer.name}"
