"""Numbers that others published, as data with sources; shown beside ours, never ranked with them.

They lie in ``published/*.toml``: for the whole file the label, protocol, source, metric, scale and
what the spreads divide by; for each ``[[result]]`` what was trained, mean, spread and, where they
are known, the value of each seed. What a result leaves out is taken from the top of its file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

from normbench import Source, Value

Spread = Literal["n", "n-1", "unknown"]


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """One published number.

    Attributes:
        problem: What was trained; this and the next three by the names they would have here.
        norm: Norm at its sites.
        optimizer: Optimizer.
        protocol: Rules it was measured under.
        metric: What was measured, such as ``test_accuracy``.
        mean: Mean over seeds; accuracies in [0, 1].
        sd: Standard deviation over seeds in the same unit, None if it was not published.
        spread: What the standard deviation divides by.
        n: Number of seeds, None if it was not published.
        values: Value of each seed, where they are known.
        conditions: Hyper-parameters and the like, as far as they tell results apart.
        more: Other numbers about the same runs.
        label: How far it can be compared with ours.
        remark: What is particular to it.
        source: Where it is published, and what deviates from sound practice there.
    """

    problem: str
    norm: str
    optimizer: str
    protocol: str
    metric: str
    mean: float
    sd: float | None = None
    spread: Spread = "unknown"
    n: int | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    conditions: Mapping[str, Value] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    label: str
    remark: str = ""
    source: Source


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """A paired comparison of two norms over published seeds.

    Attributes:
        protocol: Rules of the two results.
        better: Norm with the higher mean.
        worse: The other one.
        conditions: What tells the pair from others.
        p: One-sided p of the paired t-test.
    """

    protocol: str
    better: str
    worse: str
    conditions: Mapping[str, Value]
    p: float


def published_results() -> tuple[PublishedResult, ...]:
    """Return all published numbers."""
    return tuple(result for content in _contents() for result in _results(content))


def published_comparisons() -> tuple[PublishedComparison, ...]:
    """Return all published comparisons."""
    return tuple(
        PublishedComparison(protocol=content["protocol"], **entry)
        for content in _contents()
        for entry in content.get("comparison", ())
    )


def _contents() -> Iterator[dict[str, Any]]:
    folder: Traversable = files("normbench_baselines") / "published"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            yield tomllib.loads(file.read_text(encoding="utf-8"))


def _results(content: Mapping[str, Any]) -> Iterator[PublishedResult]:
    scale = content["scale"]
    source = {**content["source"]}
    source["deviations"] = tuple(source.get("deviations", ()))
    for entry in content["result"]:
        cell = {**content, **entry}
        values = cell.get("values", ())
        yield PublishedResult(
            problem=cell["problem"],
            norm=cell["norm"],
            optimizer=cell["optimizer"],
            protocol=cell["protocol"],
            metric=cell["metric"],
            mean=scale * cell["mean"],
            sd=scale * cell["sd"] if "sd" in cell else None,
            spread=cell["spread"],
            n=len(values) or cell.get("n"),
            values={s: scale * v for s, v in zip(cell.get("seeds", ()), values, strict=True)},
            conditions=cell.get("conditions", {}),
            more=cell.get("more", {}),
            label=cell["label"],
            remark=cell.get("remark", ""),
            source=Source(**source),
        )
