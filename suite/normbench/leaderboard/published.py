"""Published numbers beside ours: never paired, never ranked, never tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import one_setting
from normbench.leaderboard.formats import Section
from normbench.leaderboard.sheets import Numbers, Sheet
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.publications import Publication, PublishedResult
from normbench.settings import AS_PUBLISHED


def published_section(board: Board, catalogue: Catalogue) -> Section | None:
    """Return what others published of the board's problem; None if nothing is known."""
    results = [
        result
        for offer in catalogue.offers(Publication)
        for result in offer.component.load()(offer.component.name)
        if (result.problem, result.metric) == (board.problem, board.metric.name)
    ]
    if not results:
        return None
    results.sort(key=lambda result: (result.norm, result.optimizer, result.protocol))
    lines = [_line(board, result) for result in results]
    heads = tuple(lines[0])
    sources = dict.fromkeys(f"{r.source.title}: {r.label}." for r in results)
    deviations = dict.fromkeys(
        f"{r.source.title}: {text}" for r in results for text in r.source.deviations
    )
    return Section(
        title=f"{board.title}: published numbers, not paired with ours",
        sheets=(_sheet(board, results),),
        lines={"Not paired, not tested, not ranked": [*sources, *_reading(results), *deviations]},
        record=lambda: {"title": f"{board.title}: published", "paired": False, "results": lines},
        flat=lambda: (heads, [list(line.values()) for line in lines]),
    )


def _ours(board: Board, result: PublishedResult) -> list[Entry]:
    """Return our row of the same norm and optimizer; of several settings the one that stands."""
    found = [
        entry
        for entry in board.entries
        if entry.row.optimizer == result.optimizer
        and entry.row.norm_label == result.norm
        and entry.mean is not None
    ]
    row = one_setting([entry.row for entry in found]) if found else None
    return [entry for entry in found if row is None or entry.row.row == row.row]


def _same_rules(board: Board, result: PublishedResult) -> bool:
    """Whether our rows follow the protocol of *result* as it is written, so that they compare."""
    row = board.entries[0].row
    return row.protocol == result.protocol and set(row.deviations) <= {AS_PUBLISHED}


def _line(board: Board, result: PublishedResult) -> dict[str, Any]:
    ours = _ours(board, result)
    mean = ours[0].mean if len(ours) == 1 else None
    same = _same_rules(board, result)
    return {
        "norm": result.norm,
        "optimizer": result.optimizer,
        "protocol": result.protocol,
        "conditions": _conditions(result),
        "metric": result.metric,
        "published_mean": result.mean,
        "published_sd": result.shown_sd,
        "published_sd_divides_by": result.shown_spread,
        "published_n": result.shown_n,
        "ours": mean,
        "our_rows": " ".join(entry.row.row[:8] for entry in ours),
        "same_rules": same,
        "difference_not_paired": mean - result.mean if same and mean is not None else None,
        "label": result.label,
        "source": result.source.reference,
    }


def _reading(results: Sequence[PublishedResult]) -> list[str]:
    """Return how to read the columns."""
    divisors = {"n": "n", "n-1": "n - 1", "unknown": "an unknown number"}
    spreads: dict[str, dict[str, None]] = {}
    for result in results:
        if result.shown_sd is not None:
            spreads.setdefault(divisors[result.shown_spread], {})[result.source.title] = None
    told = [f"by {by} in {', '.join(titles)}" for by, titles in spreads.items()]
    return [
        *([f"The published standard deviation divides {'; '.join(told)}."] if told else []),
        "A difference is shown where our rows follow the same protocol, unchanged.",
    ]


def _conditions(result: PublishedResult) -> str:
    return " ".join(f"{name}={typed(value)}" for name, value in result.conditions.items())


def _sheet(board: Board, results: Sequence[PublishedResult]) -> Sheet:
    numbers = Numbers(board.metric.name)
    rows = []
    for result in results:
        line = _line(board, result)
        several = f"{len(_ours(board, result))} rows" if line["our_rows"] else ""
        rows.append(
            (
                result.norm,
                result.optimizer,
                result.protocol,
                _conditions(result),
                numbers.value(result.mean),
                numbers.value(result.shown_sd),
                str(result.shown_n or "?"),
                numbers.value(line["ours"]) or several,
                numbers.value(line["difference_not_paired"], signed=True),
            )
        )
    heads = (
        *("norm", "optimizer", "protocol", "conditions", f"published{numbers.unit}", "sd", "n"),
        *(f"ours{numbers.unit}", "ours - published"),
    )
    title = f"{board.title}: {board.metric.name}, published by others, not paired with ours"
    return Sheet(heads, tuple(rows), heads[4:], title)
