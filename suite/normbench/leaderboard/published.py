"""Published numbers beside ours: never paired, never ranked, never tested."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.formats import Section
from normbench.leaderboard.sheets import Numbers, Sheet
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.publications import Publication, PublishedResult


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
        lines={"Not paired, not tested, not ranked": [*sources, *deviations]},
        record=lambda: {"title": f"{board.title}: published", "paired": False, "results": lines},
        flat=lambda: (heads, [list(line.values()) for line in lines]),
    )


def _ours(board: Board, result: PublishedResult) -> list[Entry]:
    """Return our rows of the same norm and optimizer, whatever their setting."""
    return [
        entry
        for entry in board.entries
        if entry.row.optimizer == result.optimizer
        and entry.row.norm_label == result.norm
        and entry.mean is not None
    ]


def _line(board: Board, result: PublishedResult) -> dict[str, Any]:
    ours = _ours(board, result)
    mean = fmean(entry.mean or 0.0 for entry in ours) if len(ours) == 1 else None
    return {
        "norm": result.norm,
        "optimizer": result.optimizer,
        "protocol": result.protocol,
        "conditions": _conditions(result),
        "metric": result.metric,
        "published_mean": result.mean,
        "published_sd": result.sd,
        "published_sd_divides_by": result.spread,
        "published_n": result.n,
        "ours": mean,
        "our_rows": " ".join(entry.row.row[:8] for entry in ours),
        "difference_not_paired": None if mean is None else mean - result.mean,
        "label": result.label,
        "source": result.source.reference,
    }


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
                numbers.value(result.sd),
                str(result.n or "?"),
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
