"""A leaderboard as plain values, for JSON and CSV: every number unrounded, every p, every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.strict_json import strict
from normbench.leaderboard.tested import what_was_tested
from normbench.origins import in_words

_FLAT = (
    *("board", "rank", "row", "problem", "norm", "optimizer", "setting", "setting_origin"),
    *("protocol", "metric", "n", "planned", "diverged", "mean", "low", "high", "median"),
    *("difference", "difference_low", "difference_high", "t", "p", "p_adjusted"),
    *("sign_flip", "win_rate", "effect", "detectable", "correlation", "verdict", "seconds"),
    *("engine", "reference"),
)


def board_record(board: Board) -> dict[str, Any]:
    """Return all of a board as strict JSON values; what cannot be computed is null."""
    reference = board.reference
    content = {
        "title": board.title,
        "problem": board.problem,
        "metric": asdict(board.metric),
        "primary_metric": board.primary,
        "reference": {
            "row": reference.row.row if reference.row else None,
            "why": reference.why,
            "post_hoc": reference.post_hoc,
            "others": [row.row for row in reference.others],
            "first": reference.first.why if reference.first else None,
        },
        "alpha": board.terms.alpha,
        "correction": board.terms.correction,
        "stages": list(board.terms.stages),
        "family": board.family,
        "not_shown": len(board.apart),
        "exploratory": board.exploratory,
        "entries": [entry_record(board, entry) for entry in board.entries],
        "head": list(board.head),
        "notes": list(board.notes),
        "what_was_tested": what_was_tested(board),
        "provenance": asdict(board.provenance),
        "digest": board.digest,
    }
    return dict(strict(content))


def entry_record(board: Board, entry: Entry) -> dict[str, Any]:
    """Return all of an entry; differences are new minus reference in the metric's unit."""
    row, found = entry.row, entry.comparison
    reference = board.reference_of(row)
    comparison = None
    if found is not None:
        comparison = {
            **asdict(found),
            "n": found.n,
            "reference": reference.row if reference else None,
            "difference": board.sign * found.difference,
            "interval": sorted(board.sign * end for end in found.interval),
        }
        for name in ("p", "p_adjusted", "flip", "flip_adjusted"):
            comparison[name] = dict(zip(("better", "worse"), getattr(found, name), strict=True))
    return {
        "rank": entry.rank,
        "rank_interval": entry.rank_interval,
        "rank_interval_of": board.drawn if entry.rank_interval else None,
        "letters": entry.letters,
        "row": row.row,
        "problem": row.problem,
        "norm": row.norm_label,
        "optimizer": row.optimizer,
        "setting": dict(row.setting),
        "setting_origin": in_words(row.setting_origin),
        "protocol": row.protocol,
        "deviations": list(row.deviations),
        "n": entry.n,
        "planned": entry.planned,
        "diverged": list(row.diverged),
        "missing": list(row.missing),
        "declared": row.declared.to_dict() if row.declared else None,
        "mean": entry.mean,
        "interval": entry.interval,
        "median": entry.median,
        "range": entry.range,
        "converged_mean": entry.converged_mean,
        "comparison": comparison,
        "verdict": entry.verdict.value if entry.verdict else None,
        "costs": asdict(entry.costs),
        "values": {str(seed): value for seed, value in entry.values.items()},
        "runs": {str(seed): run.fingerprint for seed, run in row.runs.items()},
    }


def named_counts(counts: Mapping[str, int]) -> str:
    """Return a name that stands for all, or each with its number, such as ``eager 2, graph 8``."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name or 'unknown'} {number}" for name, number in counts.items())


def flat_records(board: Board) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Return one line for each entry: headings and values; p is of the side of the difference."""
    lines = []
    for entry in board.entries:
        record = strict(entry_record(board, entry))
        found = record["comparison"] or {}
        side = "worse" if (found.get("effect") or found.get("t") or 0) < 0 else "better"
        low, high = found.get("interval") or (None, None)
        values = {
            **record,
            "board": board.title,
            "setting": " ".join(f"{k}={v}" for k, v in record["setting"].items()),
            "metric": board.metric.name,
            "diverged": len(record["diverged"]),
            "low": (record["interval"] or (None, None))[0],
            "high": (record["interval"] or (None, None))[1],
            "difference": found.get("difference"),
            "difference_low": low,
            "difference_high": high,
            "sign_flip": (found.get("flip") or {}).get(side),
            "p": (found.get("p") or {}).get(side),
            "p_adjusted": (found.get("p_adjusted") or {}).get(side),
            "seconds": record["costs"]["seconds"],
            "engine": named_counts(entry.costs.engines),
            "reference": found.get("reference"),
        }
        values |= {name: found.get(name) for name in ("t", "win_rate", "effect", "detectable")}
        values["correlation"] = found.get("correlation")
        lines.append([values[name] for name in _FLAT])
    return _FLAT, lines
