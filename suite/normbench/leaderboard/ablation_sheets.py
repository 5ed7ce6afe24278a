"""An ablation table as sheets and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace

from normbench.leaderboard.ablations import Ablation
from normbench.leaderboard.against import LEAST_FOR_INTERVAL
from normbench.leaderboard.factors import Effect
from normbench.leaderboard.formats import Section
from normbench.leaderboard.naming import row_names, setting_text
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.sheets import Numbers, Sheet, p_text
from normbench.origins import in_words

_DIVERGED = "div: seeds that diverged, of the row or of what it is compared with."


def ablation_section(found: Ablation, correction_name: str) -> Section:
    """Return main effects, effects within each level of the other factor, and interactions."""
    return Section(
        title=f"{found.title}: {found.factor}s against {found.base}",
        sheets=(_grid(found), _list(found, "main"), _list(found, "interactions"), _settings(found)),
        lines={
            "Words": [_DIVERGED] if found.diverged else [],
            "Notes": found.left_out,
            "What was tested": list(_tested(found, correction_name)),
        },
        record=lambda: _record(found),
        flat=lambda: (
            ("effect", "level", "within", "n", "difference", "low", "high", "p", "p_adjusted"),
            [_flat(kind, e, found) for kind, effects in _kinds(found) for e in effects],
        ),
        about=found,
        head=found.head,
    )


def _record(found: Ablation) -> dict[str, object]:
    record = asdict(replace(found, rows=(), beside=())) | {"diverged": _diverged_record(found)}
    del record["beside"]
    record["rows"] = [
        {
            "row": row.row,
            "norm": row.norm_label,
            "optimizer": row.optimizer,
            "setting": dict(row.setting),
            "setting_origin": in_words(row.setting_origin),
        }
        for row in found.rows
    ]
    return record


def _diverged_record(found: Ablation) -> list[dict[str, object]]:
    return [
        {"level": level, "within": within, "seeds": count}
        for (level, within), count in found.diverged.items()
    ]


def _kinds(found: Ablation) -> tuple[tuple[str, tuple[Effect, ...]], ...]:
    table = found.table
    return ("main", table.main), ("simple", table.simple), ("interaction", table.interactions)


def _flat(kind: str, effect: Effect, found: Ablation) -> list[object]:
    sign = found.sign
    low, high = sorted(sign * end for end in effect.interval) if effect.interval else (None, None)
    numbers = [effect.n, sign * effect.difference, low, high, effect.p, effect.p_adjusted]
    return [kind, effect.level, effect.within, *numbers]


def _grid(found: Ablation) -> Sheet:
    """Return levels by levels of the other factor: difference, p, and seeds that diverged."""
    numbers = Numbers(found.metric.name)
    effects = {(e.level, e.within): e for e in found.table.simple}
    levels = list(dict.fromkeys(level for level, _ in effects))
    others = list(dict.fromkeys(within for _, within in effects))
    rows = tuple(
        (level, *(_tile(found, numbers, effects.get((level, other)), other) for other in others))
        for level in levels
    )
    title = (
        f"{found.title}: {found.metric.name}{numbers.unit}, difference from {found.base} (p), by "
        f"{found.other}"
    )
    return Sheet((found.factor, *others), rows, tuple(others), title)


def _tile(found: Ablation, numbers: Numbers, effect: Effect | None, other: str) -> str:
    if effect is None:
        return ""
    sign = found.sign
    text = numbers.value(sign * effect.difference, signed=True)
    p = p_text(effect.p_adjusted)
    diverged = sum(found.diverged.get((level, other), 0) for level in (effect.level, found.base))
    return f"{text}{f' ({p})' if p else ''}{f' {diverged} div' if diverged else ''}"


def _list(found: Ablation, kind: str) -> Sheet:
    numbers = Numbers(found.metric.name)
    sign = found.sign
    main = kind == "main"
    rows = tuple(
        (
            effect.level,
            str(effect.levels) if main else effect.within,
            str(effect.n),
            numbers.interval(
                sign * effect.difference,
                _ends(effect, sign),
                signed=True,
            ),
            p_text(effect.p_adjusted),
        )
        for effect in (found.table.main if main else found.table.interactions)
    )
    where = f"{found.other}s" if main else found.other
    title = (
        f"Main effects: averaged over {found.other}s seed by seed, difference from {found.base}"
        if main
        else "Interactions: how far the difference is from its main effect"
    )
    heads = (found.factor, where, "seeds", f"difference{numbers.unit} [95 %]", "p")
    return Sheet(heads, rows, ("seeds", "p", *([where] if main else [])), title)


def _settings(found: Ablation) -> Sheet:
    """Return the setting that each cell is shown at, and those that it has besides."""
    rows = tuple(
        (row.norm_label, row.optimizer, setting_text(row), _beside(found, row))
        for row in found.rows
    )
    return Sheet(("norm", "optimizer", "setting", "not shown"), rows, (), "Settings of the cells")


def _beside(found: Ablation, row: ReadRow) -> str:
    cell = row.norm_label, row.optimizer
    others = (each for each in found.beside if (each.norm_label, each.optimizer) == cell)
    return ", ".join(map(setting_text, others))


def _ends(effect: Effect, sign: int) -> tuple[float, float] | None:
    if effect.interval is None:
        return None
    low, high = sorted(sign * end for end in effect.interval)
    return low, high


def _tested(found: Ablation, correction_name: str) -> Iterator[str]:
    table = found.table
    if not table.simple:
        yield f"Nothing: no other {found.factor} has results at seeds of {found.base}."
        return
    counts = f"{len(table.simple)}, {len(table.main)} and {len(table.interactions)}"
    yield (
        f"Paired t-tests by seed, two-sided; differences by {found.factor}, main effects and "
        f"interactions are families of {counts}, corrected by {correction_name}. No p below five "
        "seeds."
    )
    yield (
        "Main effects and interactions: the seed is the unit, so each seed is averaged over the "
        "levels first, and only seeds that all of them share count."
    )
    effects = (*table.simple, *table.main, *table.interactions)
    if any(e.n >= LEAST_FOR_INTERVAL and e.interval is None for e in effects):
        yield (
            f"Without an interval at {LEAST_FOR_INTERVAL} seeds or more: every seed differs by the "
            "same amount, so there is no spread to judge it by."
        )
    name = row_names(found.rows)
    staged = [name(row) for row in found.rows if row.staged]
    if staged:
        yield (
            f"Seeds were added in declared stages to {len(staged)} of the rows "
            f"({', '.join(staged[:3])}{', ...' * (len(staged) > 3)}): p holds whichever stage they "
            "stopped at, and seeds that no declared look has come to do not count. Intervals and "
            "differences are not corrected for stopping."
        )
    if found.diverged and not math.isnan(found.metric.worst):
        yield f"Diverged seeds count with the worst score, {found.metric.worst:g}."
