"""One factor against a base level of it, over the levels of another: main effects, interactions.

The seed is the unit. A main effect is averaged over the other factor for each seed first and then
tested over the seeds: seeds times levels are not so many independent observations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from normbench.leaderboard.against import LEAST_FOR_INTERVAL, LEAST_FOR_VERDICT
from normbench.leaderboard.looks import Looks, looks_together
from normbench.leaderboard.paired import Floats, all_equal, t_interval
from normbench.leaderboard.staged import two_sided_p

Adjust = Callable[[Floats], Floats]
Scores = Mapping[tuple[str, str], Mapping[int, float]]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A difference that was estimated over seeds.

    Attributes:
        level: Level of the factor.
        within: Level of the other factor; empty for a main effect.
        n: Seeds.
        difference: Mean difference, positive is better.
        interval: Its 95 % t interval; None below three seeds, or where all differ by the same.
        p: Two-sided p of the t-test; None below five seeds, before the first declared look, or
            without any spread.
        p_adjusted: The same corrected over its family.
        levels: How many levels of the other factor a main effect is averaged over.
    """

    level: str
    within: str
    n: int
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    p_adjusted: float | None = None
    levels: int = 1


@dataclass(frozen=True, kw_only=True)
class FactorTable:
    """All effects of one factor against its base level.

    Attributes:
        simple: Within each level of the other factor.
        main: Averaged over the other factor.
        interactions: How far each simple effect is from its main effect.
        seeds: Seeds that the main effects and interactions use.
    """

    simple: tuple[Effect, ...]
    main: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    seeds: Mapping[str, tuple[int, ...]]


def factor_table(
    scores: Scores,
    base: str,
    levels: Sequence[str],
    others: Sequence[str],
    adjust: Adjust,
    looks: Mapping[tuple[str, str], Looks] | None = None,
) -> FactorTable:
    """Compare each of *levels* with *base* within and over *others*.

    Args:
        scores: Oriented so that larger is better; by (level, other), then by seed.
        base: The level that the others are compared with.
        levels: The levels compared with it.
        others: Levels of the other factor.
        adjust: Corrects the p values of a family; each of the three lists is one.
        looks: When cells may be looked at whose seeds were added in stages. Those that share no
            seed that counts are not compared.
    """
    simple, main, interactions, used = [], [], [], {}
    when = looks or {}
    for level in levels:
        shared = [o for o in others if (level, o) in scores and (base, o) in scores]
        pairs = {o: _differences(scores[level, o], scores[base, o]) for o in shared}
        pairs = {o: found for o, found in pairs.items() if found}
        alone = {o: _together(when, (level, base), [o]) for o in pairs}
        pairs = {o: found for o, found in pairs.items() if alone[o].counted(found)}
        simple += [_simple(level, o, pairs[o], alone[o]) for o in pairs]
        together = _together(when, (level, base), pairs)
        seeds = together.counted(set.intersection(*map(set, pairs.values())) if pairs else ())
        used[level] = seeds
        if not seeds:
            continue
        table = np.array([[pairs[o][seed] for seed in seeds] for o in pairs])
        main.append(_effect(level, "", table.mean(0), together.stages, levels=len(pairs)))
        interactions += _interactions(level, list(pairs), table, together.stages)
    families = (_corrected(family, adjust) for family in (simple, main, interactions))
    return FactorTable(
        **dict(zip(("simple", "main", "interactions"), families, strict=True)), seeds=used
    )


def _together(
    looks: Mapping[tuple[str, str], Looks], levels: Sequence[str], others: Iterable[str]
) -> Looks:
    return looks_together(looks.get((level, o), Looks()) for o in others for level in levels)


def _simple(level: str, other: str, pairs: Mapping[int, float], looks: Looks) -> Effect:
    counted = looks.counted(pairs.keys())
    return _effect(level, other, [pairs[seed] for seed in counted], looks.stages)


def _interactions(
    level: str, others: Sequence[str], table: Floats, stages: tuple[int, ...]
) -> list[Effect]:
    """Return how far each simple effect is from the main effect; of two, one says it all."""
    gaps = table - table.mean(0)
    told = {1: 0, 2: 1}.get(len(others), len(others))
    return [
        _effect(level, o, gap, stages) for o, gap in zip(others[:told], gaps[:told], strict=True)
    ]


def _differences(new: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    return {seed: new[seed] - base[seed] for seed in sorted(new.keys() & base.keys())}


def _effect(
    level: str,
    within: str,
    values: Sequence[float] | Floats,
    stages: tuple[int, ...],
    levels: int = 1,
) -> Effect:
    differences = np.asarray(values, dtype=np.float64)
    n = len(differences)
    low, high = t_interval(differences)
    same = bool(all_equal(differences, float(np.abs(differences).max())))
    early = n < max((LEAST_FOR_VERDICT, *stages[:1]))
    return Effect(
        level=level,
        within=within,
        n=n,
        difference=float(differences.mean()),
        interval=(float(low), float(high)) if n >= LEAST_FOR_INTERVAL and not same else None,
        p=None if early or same else two_sided_p(differences, stages),
        levels=levels,
    )


def _corrected(family: Sequence[Effect], adjust: Adjust) -> tuple[Effect, ...]:
    p = adjust(np.array([np.nan if e.p is None else e.p for e in family], dtype=np.float64))
    return tuple(
        replace(effect, p_adjusted=None if np.isnan(value) else float(value))
        for effect, value in zip(family, p, strict=True)
    )
