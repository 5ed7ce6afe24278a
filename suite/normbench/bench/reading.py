"""Reports of ``normbench bench`` that were written to a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

_MEND = "Give a file that this wrote: normbench bench PROBLEM --output FILE.json"


def read_report(path: Path) -> BenchReport:
    """Return the report in *path*, which ``normbench bench --format json`` wrote.

    Raises:
        UsageError: If it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. {_MEND}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON ({error}). {_MEND}") from error
    _check_kind(path, content)
    try:
        return _report(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} is damaged: {type(error).__name__} at {error}. {_MEND}"
        ) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"it has {name}, which is no number")


def _check_kind(path: Path, content: Any) -> None:
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind != KIND:
        raise UsageError(f"{path} is of kind {kind!r}: expected {KIND!r}. {_MEND}")
    if content.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} has schema {content.get('schema')!r}: this version compares schema {SCHEMA}. "
            "Measure it anew with this version."
        )


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
    tuned, ratio = content["tuned_ratio"], _spread(content["ratio"])
    if ratio.median <= 0:
        raise ValueError(f"{ratio}, which is no ratio of speeds")
    return Speed(
        examples_per_second=float(content["examples_per_second"]),
        ratio=ratio,
        tuned_ratio=None if tuned is None else _spread(tuned),
    )


def _spread(content: Mapping[str, Any]) -> Spread:
    found = Spread(**{name: float(value) for name, value in content.items()})
    if not all(math.isfinite(value) for value in (found.median, found.low, found.high)):
        raise ValueError(f"{found}, which is not finite")
    return found
