"""Numbers that others published, as data with sources; shown beside ours, never ranked with them.

They lie in ``published/*.toml``: for the whole file the label, protocol, source, metric, scale and
what the spreads divide by; for each ``[[result]]`` what was trained, mean, spread and, where they
are known, the value of each seed. What a result leaves out is taken from the top of its file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from normbench import Publication, PublishedResult, Source, Value, hookimpl

_PUBLICATIONS = {
    "deepobs": (
        "baselines of DeepOBS, TensorFlow 1, 10 seeds",
        "https://github.com/fsschneider/DeepOBS_Baselines",
    ),
    "group_norm_study": (
        "group norm against batch norm over the batch size, TensorFlow 2, 5 seeds",
        "https://github.com/BeFranke/GroupNorm",
    ),
    "spherical": ("optimizers on spheres, PyTorch", "arXiv:2006.13382"),
}

__all__ = ["PublishedComparison", "PublishedResult", "published_comparisons", "published_results"]


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


@hookimpl
def normbench_publications() -> Sequence[Publication]:
    """Offer the publications of all data files; the files are read when numbers are asked for."""
    return tuple(
        Publication(
            name=name,
            summary=summary,
            source=Source(title=name, reference=reference),
            factory="normbench_baselines.published:published_results",
        )
        for name, (summary, reference) in _PUBLICATIONS.items()
    )


def published_results(name: str | None = None) -> tuple[PublishedResult, ...]:
    """Return the numbers of the publication *name*, or all."""
    contents = ((own, content) for own, content in _contents() if name in (None, own))
    return tuple(result for _, content in contents for result in _results(content))


def published_comparisons() -> tuple[PublishedComparison, ...]:
    """Return all published comparisons."""
    return tuple(
        PublishedComparison(protocol=content["protocol"], **entry)
        for _, content in _contents()
        for entry in content.get("comparison", ())
    )


def _contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file's name without its ending, and its content."""
    folder: Traversable = files("normbench_baselines") / "published"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            content = tomllib.loads(file.read_text(encoding="utf-8"))
            yield file.name.removesuffix(".toml"), content


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
