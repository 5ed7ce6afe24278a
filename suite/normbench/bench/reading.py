"""Reports of ``normbench bench`` that were written to a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from normbench.bench import norms
from normbench.bench.norms import NormReport, NormRow
from normbench.bench.report import (
    KIND,
    SCHEMA,
    BenchReport,
    BenchRow,
    Check,
    Extra,
    PartRow,
    Speed,
    Spread,
)
from normbench.errors import UsageError

_MEND = (
    "Give a file that the same command wrote: normbench bench PROBLEM --output FILE.json, or "
    "normbench bench --norms PRECISION --output FILE.json"
)
_Found = TypeVar("_Found")


def read_report(path: Path) -> BenchReport:
    """Return the report in *path*, which ``normbench bench --format json`` wrote.

    Raises:
        UsageError: If it cannot be read, or is something else.
    """
    return _read(path, KIND, SCHEMA, _report)


def read_norms(path: Path) -> NormReport:
    """Return the report on norms in *path*, which ``normbench bench --norms`` wrote.

    Raises:
        UsageError: If it cannot be read, or is something else.
    """
    return _read(path, norms.KIND, norms.SCHEMA, _norms)


def _read(
    path: Path, kind: str, schema: int, parsed: Callable[[Mapping[str, Any]], _Found]
) -> _Found:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. {_MEND}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON ({error}). {_MEND}") from error
    _check_kind(path, content, kind, schema)
    try:
        return parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} is damaged: {type(error).__name__} at {error}. {_MEND}"
        ) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"it has {name}, which is no number")


def _check_kind(path: Path, content: Any, expected: str, schema: int) -> None:
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind != expected:
        raise UsageError(f"{path} is of kind {kind!r}: expected {expected!r}. {_MEND}")
    if content.get("schema") != schema:
        raise UsageError(
            f"{path} has schema {content.get('schema')!r}: this version compares schema {schema}. "
            "Measure it anew with this version."
        )


def _norms(content: Mapping[str, Any]) -> NormReport:
    values = dict(content)
    values["rows"] = [
        NormRow(**{**row, "ratio": row["ratio"] and _ratio(row["ratio"])})
        for row in content["rows"]
    ]
    values["conditions"] = dict(content["conditions"])
    values.pop("against", None)
    return NormReport(**values)


def _report(content: Mapping[str, Any]) -> BenchReport:
    values = dict(content)
    values["rows"] = [_row(row) for row in content["rows"]]
    values["pipeline"] = [
        PartRow(name=str(row["name"]), speed=_speed(row["speed"])) for row in content["pipeline"]
    ]
    values["extras"] = [
        Extra(**{**extra, "share": _spread(extra["share"])}) for extra in content["extras"]
    ]
    values["conditions"] = dict(content["conditions"])
    values.pop("against", None)
    return BenchReport(**values)


def _row(content: Mapping[str, Any]) -> BenchRow:
    values = dict(content)
    values |= {name: _speed(content[name]) for name in ("end_to_end", "training")}
    values["checks"] = [Check(**check) for check in content["checks"]]
    return BenchRow(**values)


def _speed(content: Mapping[str, Any]) -> Speed:
    tuned = content["tuned_ratio"]
    return Speed(
        examples_per_second=float(content["examples_per_second"]),
        ratio=_ratio(content["ratio"]),
        tuned_ratio=None if tuned is None else _spread(tuned),
    )


def _ratio(content: Mapping[str, Any]) -> Spread:
    ratio = _spread(content)
    if ratio.median <= 0:
        raise ValueError(f"{ratio}, which is no ratio of speeds")
    return ratio


def _spread(content: Mapping[str, Any]) -> Spread:
    found = Spread(**{name: float(value) for name, value in content.items()})
    if not all(math.isfinite(value) for value in (found.median, found.low, found.high)):
        raise ValueError(f"{found}, which is not finite")
    return found
