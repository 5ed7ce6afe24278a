"""What ``normbench bench`` shows: tables, how it was measured, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from normbench.bench.against import Change
from normbench.bench.norms import NormReport
from normbench.bench.report import BenchReport, BenchRow, Check, Extra, Speed, Spread
from normbench.cli.output import print_text, shown
from normbench.leaderboard.formats import Section
from normbench.leaderboard.sheets import Sheet

_SPEED = ("loop", "examples/s", "ratio", "lowest", "highest", "over tuned")
_NUMBERS = (*_SPEED[1:], "not training", "J an epoch", "of the roof")


def section_of(report: BenchReport, changes: Sequence[Change], file: str) -> Section:
    """Return the report as tables.

    Args:
        report: What was measured.
        changes: Of ratios since another report.
        file: That other report.
    """
    sheets = [
        _rows("Training and evaluation, end to end", report.rows, _end_to_end),
        _rows("Training alone", report.rows, _training),
        _parts(report),
        _extras(report.extras),
        _checks(report.rows),
        _changes(changes, file),
    ]
    left_out = [f"{name}: {reason}" for name, reason in report.left_out.items()]
    return Section(
        title=f"{report.problem}: {report.rows[0].name} is 1" if report.rows else report.problem,
        sheets=tuple(sheet for sheet in sheets if sheet.rows),
        lines={"Not measured": left_out, "Measured with": list(_told(report.conditions))},
        record=report.to_dict,
        flat=lambda: ((), ()),
        head=(f"{report.command}, {report.measured}",),
    )


def norms_section(report: NormReport, changes: Sequence[Change], file: str) -> Section:
    """Return the report on norms as a table; see :func:`section_of`."""
    times = ("ms", "torch.nn ms", "ratio")
    columns = ("norm", *times, "layout kept", "torch.nn's", "error", "torch.nn error")
    rows = tuple(
        (
            row.name,
            _maybe(row.seconds, lambda seconds: f"{1e3 * seconds:.3f}"),
            _maybe(row.torch_seconds, lambda seconds: f"{1e3 * seconds:.3f}"),
            _maybe(row.ratio, lambda ratio: f"{ratio.median:.2f}"),
            "yes" if row.keeps_layout else "no",
            _maybe(row.torch_keeps_layout, lambda kept: "yes" if kept else "no"),
            f"{row.error:.1e}",
            _maybe(row.torch_error, lambda error: f"{error:.1e}"),
        )
        for row in report.rows
    )
    sheet = Sheet(
        title="Norms alone, forward and backward", columns=columns, rows=rows, right=columns[1:]
    )
    return Section(
        title="Norms",
        sheets=tuple(each for each in (sheet, _changes(changes, file)) if each.rows),
        lines={
            "Not captured, so not timed": [": ".join(each) for each in report.left_out.items()],
            "Measured with": list(_told(report.conditions)),
        },
        record=report.to_dict,
        flat=lambda: ((), ()),
    )


def complain(report: BenchReport, changes: Sequence[Change]) -> None:
    """Say on standard error what computes something else, and what has become slower."""
    for row in report.wrong:
        for check in row.checks:
            if check.passed is False:
                text = f"WRONG: {row.name} does not compute what it should, {check.name}: "
                print_text(f"{text}{check.words}. Its speed says nothing.", err=True)
    complain_of_changes(changes, report.left_out)


def complain_of_changes(changes: Sequence[Change], left_out: Mapping[str, str]) -> None:
    """Say on standard error what has become slower than in another report."""
    for change in changes:
        if change.word == "regressed" and change.then and change.now:
            print_text(
                f"REGRESSED: {change.name}: {change.now.median:.2f}, was "
                f"{change.then.median:.2f}; {_percent(change.allowed)} less was allowed.",
                err=True,
            )
        elif change.regressed:
            reason = left_out.get(change.name.rpartition(", ")[0], "")
            print_text(f"GONE: {change.name}: {reason}", err=True)


def _rows(
    title: str, rows: Sequence[BenchRow], cells: Callable[[BenchRow], Mapping[str, str]]
) -> Sheet:
    lines = [{"loop": row.name, **cells(row)} for row in rows]
    columns = tuple(lines[0]) if lines else ("loop",)
    return Sheet(
        title=title,
        columns=columns,
        rows=tuple(tuple(line.values()) for line in lines),
        right=_NUMBERS,
    )


def _end_to_end(row: BenchRow) -> dict[str, str]:
    return {
        **_speed(row.end_to_end),
        "not training": _percent(row.evaluation_share),
        "J an epoch": _maybe(row.joules, lambda joules: f"{joules:,.1f}"),
        "correct": _verdict(row.checks),
    }


def _training(row: BenchRow) -> dict[str, str]:
    return {
        **_speed(row.training),
        "of the roof": _maybe(row.roof_share, lambda share: _percent(share, 1)),
        "correct": _verdict(row.checks),
    }


def _speed(speed: Speed) -> dict[str, str]:
    ratio = speed.ratio
    return {
        "examples/s": f"{speed.examples_per_second:,.0f}",
        "ratio": f"{ratio.median:.2f}",
        "lowest": f"{ratio.low:.2f}",
        "highest": f"{ratio.high:.2f}",
        "over tuned": _maybe(speed.tuned_ratio, lambda tuned: f"{tuned.median:.2f}"),
    }


def _verdict(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    return "WRONG" if any(check.passed is False for check in checks) else "yes"


def _parts(report: BenchReport) -> Sheet:
    lines = [(part.name, *_speed(part.speed).values()) for part in report.pipeline]
    return Sheet(
        title="Batches alone, made and dropped", columns=_SPEED, rows=tuple(lines), right=_NUMBERS
    )


def _extras(extras: Sequence[Extra]) -> Sheet:
    columns = ("what", "over", "takes", "lowest", "highest")
    lines = [(extra.name, extra.over, *_shares(extra.share)) for extra in extras]
    return Sheet(
        title="What takes more time, as a share of the rest",
        columns=columns,
        rows=tuple(lines),
        right=columns[2:],
    )


def _shares(share: Spread) -> tuple[str, ...]:
    return tuple(f"{_percent(value, 1)}" for value in (share.median, share.low, share.high))


def _checks(rows: Sequence[BenchRow]) -> Sheet:
    lines = tuple(
        (row.name, check.name, _words_of(check.passed), check.words)
        for row in rows
        for check in row.checks
    )
    return Sheet(
        title="What is computed, against plain steps",
        columns=("loop", "compared", "correct", "found"),
        rows=lines,
        right=(),
    )


def _words_of(passed: bool | None) -> str:
    return {True: "yes", False: "WRONG", None: "not asked"}[passed]


def _changes(changes: Sequence[Change], file: str) -> Sheet:
    columns = ("ratio", "then", "now", "change", "allowed", "verdict")
    lines = tuple(
        (
            change.name,
            _maybe(change.then, lambda then: f"{then.median:.2f}"),
            _maybe(change.now, lambda now: f"{now.median:.2f}"),
            _maybe(change.change, lambda share: f"{100 * share:+.1f} %"),
            "" if change.then is None else f"-{_percent(change.allowed)}",
            change.word,
        )
        for change in changes
    )
    return Sheet(title=f"Against {file}", columns=columns, rows=lines, right=columns[1:5])


def _told(conditions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the conditions, one a line; those of a group in one."""
    for name, value in conditions.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key.replace('_', ' ')} {_short(v)}" for key, v in value.items())
            yield f"{words}: {inner}"
        elif value not in ("", [], None):
            yield f"{words}: {_short(value)}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _maybe(value: Any, words: Callable[[Any], str]) -> str:
    """Return a number in words; nothing where there is none."""
    return "" if value is None else words(value)
