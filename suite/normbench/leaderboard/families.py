"""Many comparisons in one table: adjusted p values, and letters for what is not told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from normbench.errors import unknown_name
from normbench.leaderboard.paired import Floats


def holm(p: Floats) -> Floats:
    """Return Holm's adjusted p values: any false claim among them has probability alpha at most.

    S. Holm, A simple sequentially rejective multiple test procedure, 1979. A nan is no member.
    """
    return _over_members(p, _holm)


def benjamini_hochberg(p: Floats) -> Floats:
    """Return adjusted p values that bound the expected share of false claims among all claims.

    Y. Benjamini and Y. Hochberg, Controlling the False Discovery Rate, 1995. A nan is no member.
    """
    return _over_members(p, _benjamini_hochberg)


def unadjusted(p: Floats) -> Floats:
    """Return the p values as they are."""
    return p


CORRECTIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": unadjusted,
}


def correction(name: str) -> Callable[[Floats], Floats]:
    """Return the function that adjusts p values.

    Raises:
        UsageError: If there is none of that name.
    """
    if name not in CORRECTIONS:
        raise unknown_name("correction", name, CORRECTIONS)
    return CORRECTIONS[name]


def _over_members(p: Floats, adjust: Callable[[Floats], Floats]) -> Floats:
    adjusted = np.full(p.shape, np.nan)
    members = ~np.isnan(p)
    adjusted[members] = adjust(p[members])
    return adjusted


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _placed(np.minimum(steps, 1.0), order)


def _benjamini_hochberg(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    ratios = p[order] * len(p) / np.arange(1, len(p) + 1)
    steps = np.minimum.accumulate(ratios[::-1])[::-1]
    return _placed(np.minimum(steps, 1.0), order)


def _placed(values: Floats, order: NDArray[np.intp]) -> Floats:
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def letters(separated: NDArray[np.bool_]) -> list[str]:
    """Return letters such that two members share one exactly if they are not told apart.

    The insert-and-absorb algorithm of H.-P. Piepho, 2004.

    Args:
        separated: Symmetric; whether two members are told apart. The first member gets ``a``.
    """
    groups = [frozenset(range(len(separated)))]
    for i, j in zip(*np.nonzero(np.triu(separated)), strict=True):
        groups = _absorbed([part for group in groups for part in _split(group, int(i), int(j))])
    ordered = sorted(sorted(group) for group in groups if group)
    return [
        "".join(_letter(k) for k, group in enumerate(ordered) if member in group)
        for member in range(len(separated))
    ]


def _split(group: frozenset[int], i: int, j: int) -> list[frozenset[int]]:
    return [group - {i}, group - {j}] if {i, j} <= group else [group]


def _absorbed(groups: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Leave out groups that lie inside another."""
    different = list(dict.fromkeys(groups))
    return [group for group in different if not any(group < other for other in different)]


def _letter(index: int) -> str:
    """Return a, b, ..., z, then a2, b2 and so on."""
    turn, place = divmod(index, 26)
    return chr(ord("a") + place) + (str(turn + 1) if turn else "")
