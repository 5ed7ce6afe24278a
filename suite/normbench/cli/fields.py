"""What ``normbench describe`` says of each kind of component."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from normbench.cadence import CADENCE
from normbench.cli.output import shown, size
from normbench.descriptions import (
    Component,
    Dataset,
    Measure,
    Metric,
    Norm,
    Observer,
    Optimizer,
    Problem,
    Setting,
    Training,
)
from normbench.parameters import Parameter, Search, Value, rules_of
from normbench.rules import Protocol, Rules

Table = tuple[str, Sequence[str], list[tuple[str, ...]]]


def of(component: Component) -> dict[str, str]:
    """Return what is particular to the component's kind, by name."""
    describe = _FIELDS.get(component.kind)
    return describe(component) if describe else {}


def tables(component: Component, settings: Sequence[Setting]) -> Iterator[Table]:
    """Return title, headings and rows of each table that belongs to the component."""
    cadence = CADENCE if isinstance(component, Observer) else ()
    if parameters := (*cadence, *component.parameters):
        rows = [_parameter(parameter) for parameter in parameters]
        yield "parameters", _HEADINGS, rows
    if isinstance(component, Observer):
        yield "series", _SERIES_HEADINGS, [_measure(measure) for measure in component.measures]
    if isinstance(component, Problem):
        yield "training (problem.NAME=VALUE)", *_values(rules_of(Training), component.training)
    if isinstance(component, Protocol):
        yield "rules (protocol.NAME=VALUE)", *_values(rules_of(Rules), component.rules)
    if isinstance(component, Protocol):
        yield from _protocol_words(component)
    known = [setting for setting in settings if _concerns(setting, component)]
    if known:
        sources = list(dict.fromkeys(setting.source for setting in known))
        yield (
            "known settings",
            (*SETTING_COLUMNS, "source"),
            [(*setting_cells(each), f"[{sources.index(each.source)}]") for each in known],
        )
        yield "their sources", ("", "source"), [(f"[{i}]", s) for i, s in enumerate(sources)]


def _protocol_words(protocol: Protocol) -> Iterator[Table]:
    titles = {
        "words": "for a dataset, problem or norm",
        "published": "added by protocol.as_published=true",
    }
    for field, title in titles.items():
        if by_name := getattr(protocol, field):
            rows: list[tuple[str, ...]] = [
                (name, " ".join(f"{word}={shown(value)}" for word, value in words.items()))
                for name, words in by_name.items()
            ]
            yield title, ("name", "words"), rows


_HEADINGS = ("parameter", "type", "default", "unit", "range", "search", "summary")
_SERIES_HEADINGS = ("series", "dimensions", "unit", "summary")
SETTING_COLUMNS = ("problem", "norm", "optimizer", "protocol", "values")


def _measure(measure: Measure) -> tuple[str, ...]:
    dims = (*([] if measure.fixed else ["moment"]), *measure.dims)
    return measure.name, ", ".join(dims), measure.unit, measure.summary


def _parameter(parameter: Parameter) -> tuple[str, ...]:
    return (
        parameter.name,
        parameter.kind,
        shown(parameter.default) or '""',
        parameter.unit,
        parameter.range,
        _search(parameter.search),
        parameter.summary,
    )


def _search(search: Search | None) -> str:
    if search is None:
        return ""
    if search.scale == "choice":
        return f"choice of {shown(search.choices)}"
    return f"{search.scale} from {search.low:g} to {search.high:g}"


def _values(
    parameters: Sequence[Parameter], owner: object
) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Return headings and rows for the values that *owner* gives to *parameters*."""
    rows: list[tuple[str, ...]] = [
        (p.name, shown(getattr(owner, p.name)) or '""', p.unit, p.range, p.summary)
        for p in parameters
    ]
    return ("name", "value", "unit", "range", "summary"), rows


def _concerns(setting: Setting, component: Component) -> bool:
    named = {
        "problem": setting.problem,
        "optimizer": setting.optimizer,
        "protocol": setting.protocol,
    }
    return named.get(component.kind) == component.name


def setting_cells(setting: Setting) -> tuple[str, ...]:
    """Return the cells of a known setting under :data:`SETTING_COLUMNS`."""
    changes = {**setting.norm_parameters, **setting.ablation}
    return (
        setting.problem,
        " ".join((setting.norm, *_words(changes))),
        setting.optimizer,
        " ".join((setting.protocol, *setting.rules)),
        " ".join(_words(setting.values)),
    )


def _words(values: Mapping[str, Value]) -> list[str]:
    return [f"{name}={shown(value)}" for name, value in values.items()]


def _dataset(dataset: Dataset) -> dict[str, str]:
    return {
        "content": dataset.content,
        "shape": "×".join(str(length) for length in dataset.shape),
        "classes": str(dataset.classes or ""),
        "examples": f"{dataset.train_size} train, {dataset.test_size} test",
        "mean": shown(dataset.mean),
        "std": shown(dataset.std),
        "files": "\n".join(
            f"{file.path}  MD5 {file.md5}" if file.md5 else file.path for file in dataset.files
        ),
        "download": size(dataset.download_size) if dataset.download_size else "nothing",
    }


def _norm(norm: Norm) -> dict[str, str]:
    return {
        "site kinds": ", ".join(norm.site_kinds),
        "centres": "yes: a bias before it is redundant" if norm.centres else "no",
    }


def _optimizer(optimizer: Optimizer) -> dict[str, str]:
    decay = "decoupled, with its own default"
    coupled = "L2, with the problem's coefficient"
    has_decay = any(parameter.name == "weight_decay" for parameter in optimizer.parameters)
    return {
        "weight decay": (decay if optimizer.decoupled_weight_decay else coupled)
        if has_decay
        else "none",
        "closure": "yes: step evaluates the loss itself" if optimizer.needs_closure else "no",
        "averages": "yes: judged at an average of its weights"
        if optimizer.averages_weights
        else "no",
        "CUDA graph": "whole steps"
        if optimizer.capturable and not optimizer.needs_closure
        else "forward and backward; its own step stays outside",
        "elementwise": "yes" if optimizer.elementwise else "no",
    }


def _problem(problem: Problem) -> dict[str, str]:
    parameters = [f"{name}={shown(value)}" for name, value in problem.network_parameters.items()]
    return {
        "dataset": problem.dataset,
        "network": " ".join([problem.network, *parameters]),
        "norm": problem.norm,
        "equals": f"{problem.base} --norm {problem.norm}" if problem.base else "",
        **_metric(problem.metric),
    }


def _metric(metric: Metric) -> dict[str, str]:
    direction = "higher is better" if metric.direction == "max" else "lower is better"
    return {
        "metric": f"{metric.name}, {direction}",
        "worst score": f"{metric.worst:g} (a diverged run's)",
        "smallest difference of interest": f"{metric.smallest_difference:g}",
        "target": "none" if metric.target is None else f"{metric.target:g} (time to target)",
    }


def _protocol(protocol: Protocol) -> dict[str, str]:
    origin = protocol.settings_from
    return {"settings from": f"protocol {origin}, where it has none of its own" if origin else ""}


_FIELDS: Mapping[str, Callable[[Any], dict[str, str]]] = {
    "dataset": _dataset,
    "norm": _norm,
    "optimizer": _optimizer,
    "problem": _problem,
    "protocol": _protocol,
    "suite": lambda suite: {"cells": f"normbench suite describe {suite.name}"},
}
