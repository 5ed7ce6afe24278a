"""A comparison of two rows as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from normbench.leaderboard.against import LEAST_FOR_VERDICT, Comparison
from normbench.leaderboard.choosing import row_label
from normbench.leaderboard.comparison import Assumptions, Duel, assumptions_of, seeds_missing
from normbench.leaderboard.edited_files import edited_files
from normbench.leaderboard.formats import Lines, Section
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.notes import seed_list
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.reference_notes import notes_about_pairs
from normbench.leaderboard.settings_shown import as_recorded
from normbench.leaderboard.sheets import Numbers, Sheet, p_text
from normbench.quantities import counted


def duel_section(found: Duel) -> Section:
    """Return every seed, what the test assumes, and what it comes to."""
    title = f"{row_label(found.new)} against {row_label(found.base)}"
    lines = {
        "In words": [
            in_words(found),
            *found.precision,
            *as_recorded([found.new, found.base]),
            *edited_files([found.new, found.base]),
            *seeds_missing(found),
            *_more(found),
        ],
        "Notes": list(_notes(found)),
        "What the test assumes": list(_assumed(found, assumptions_of(found))),
        "What was tested": list(_tested(found)),
    }
    return Section(
        title, (_sheet(found, title),), lines, partial(_record, found), partial(_flat, found), found
    )


def _notes(found: Duel) -> Iterator[str]:
    yield from notes_about_pairs([(found.new, found.base, found.comparison.n)], row_label)


def _by_seed(found: Duel) -> Iterator[tuple[int, float | None, float | None, float | None]]:
    new, base = found.values
    for seed in sorted(new.keys() | base.keys()):
        yield seed, new.get(seed), base.get(seed), found.differences.get(seed)


def _flat(found: Duel) -> Lines:
    return ("seed", "new", "base", "difference"), [list(line) for line in _by_seed(found)]


def _sheet(found: Duel, title: str) -> Sheet:
    numbers = Numbers(found.metric.name)
    names = [f"{row.norm_label} {row.optimizer} ({row.row[:4]})" for row in (found.new, found.base)]
    rows = tuple(
        (
            str(seed),
            numbers.value(new),
            numbers.value(base),
            numbers.value(difference, signed=True),
            _outcome(found, seed),
        )
        for seed, new, base, difference in _by_seed(found)
    )
    columns = ("seed", *names, f"difference{numbers.unit}", "diverged")
    return Sheet(columns, rows, columns[:-1], f"{title}: {found.metric.name}{numbers.unit}")


def _outcome(found: Duel, seed: int) -> str:
    sides = (("first", found.new), ("second", found.base))
    return " and ".join(name for name, row in sides if seed in row.diverged)


def in_words(found: Duel) -> str:
    """Return what the comparison comes to, in a sentence for anyone."""
    numbers, comparison = Numbers(found.metric.name), found.comparison
    difference = found.sign * comparison.difference
    higher = "higher" if difference > 0 else "lower"
    better = "better" if comparison.difference > 0 else "worse"
    if not comparison.n:
        return "None of the seeds that both have counts, so nothing is compared."
    start = (
        f"The {found.metric.name.replace('_', ' ')} of {_short(found, found.new)} is "
        f"{numbers.value(abs(difference))}{numbers.points} {higher} ({better}) on average over "
        f"{counted(comparison.n, 'seed')}"
    )
    if comparison.deterministic:
        every = "The one seed" if comparison.n == 1 else f"Every one of {comparison.n} seeds"
        return (
            f"{every} differs by {numbers.value(difference, signed=True)}{numbers.points}: there "
            "is no spread to judge that by."
        )
    if math.isnan(found.p):
        return f"{start}; so few seeds allow no interval."
    low, high = sorted(found.sign * end for end in comparison.interval)
    return (
        f"{start}, with a 95 % interval from {numbers.value(low, signed=True)} to "
        f"{numbers.value(high, signed=True)}{numbers.points}. If the two were equal, a difference "
        f"of this size or more would come up in {_percent(found.p)} of such comparisons: "
        f"{_judgement(found)}"
    )


def _short(found: Duel, row: ReadRow) -> str:
    same = found.new.norm_label == found.base.norm_label
    return (
        row_label(row)
        if same and found.new.optimizer == found.base.optimizer
        else (f"{row.norm_label} with {row.optimizer}")
    )


def _judgement(found: Duel) -> str:
    if found.comparison.n < LEAST_FOR_VERDICT:
        return f"fewer than {LEAST_FOR_VERDICT} pairs, too few for a verdict."
    if _early(found.comparison):
        return "no declared look has come yet, so that this is not to be judged."
    if found.p < found.alpha:
        return "hard to put down to chance."
    if found.comparison.equivalent:
        return "what difference there is, is too small to matter."
    return "chance alone may well explain it."


def _percent(p: float) -> str:
    return "less than 0.1 %" if p < 0.001 else f"{100 * p:.2g} %"


def _more(found: Duel) -> Iterator[str]:
    comparison, numbers = found.comparison, Numbers(found.metric.name)
    smallest = found.metric.smallest_difference
    if not math.isnan(comparison.standardised):
        yield (
            f"The first wins {comparison.win_rate * comparison.n:g} of {comparison.n} seeds, ties "
            f"a half. {comparison.n} seeds find a difference of "
            f"{numbers.value(found.detectable)}{numbers.points} with probability 0.8 at this "
            "spread, by the two-sided test."
        )
    if smallest and not math.isnan(comparison.detectable):
        shown = f"{numbers.value(smallest)}{numbers.points}"
        count = f"{found.needed} seeds" if found.needed else "more seeds than can be trained"
        yield f"To find the smallest difference of interest, {shown}, takes {count}."
    if found.target is not None:
        wins, p, pairs = found.target
        yield (
            f"The first reaches the target sooner in {wins * pairs:g} of {pairs} seeds (ties and "
            f"two misses a half; sign test p {p_text(p)}, two-sided)."
        )


def _assumed(found: Duel, seen: Assumptions | None) -> Iterator[str]:
    if seen is None:
        yield "Too little spread or too few pairs to look at."
        return
    yield (
        f"Differences that are roughly normal: their skewness is {seen.skewness:+.2f}, and seed "
        f"{seen.furthest} lies furthest from their median, by {seen.distance:.1f} median absolute "
        f"deviations. {found.comparison.n} differences cannot show more."
    )
    low, high = seen.without_one
    yield (
        "That no seed decides alone: with any one of them left out, p would be "
        f"{p_text(low)} to {p_text(high)}."
    )
    yield (
        f"The exact sign-flip test assumes symmetry only: its p is {p_text(found.flip)} "
        f"(two-sided), the t-test's {p_text(found.p)}."
    )
    correlation = found.comparison.correlation
    if not math.isnan(correlation):
        gain = "narrows" if correlation > 0 else "does not narrow"
        yield f"Pairs correlate by {correlation:.2f}: pairing by seed {gain} the interval."


def _tested(found: Duel) -> Iterator[str]:
    if math.isnan(found.p):
        yield "Nothing: a test takes three pairs whose differences vary."
        yield from _uncounted(found.comparison)
        return
    yield (
        f"Paired t-test by seed, two-sided, t = {found.comparison.t:.4g} with "
        f"{found.comparison.n - 1} degrees of freedom; one comparison, uncorrected."
    )
    yield from _in_stages(found)
    yield (
        "It confirms something only if these two rows were chosen before looking; to compare "
        "several, see normbench leaderboard."
    )


def _in_stages(found: Duel) -> Iterator[str]:
    comparison = found.comparison
    stages = ", ".join(map(str, comparison.stages))
    if _early(comparison):
        yield (
            f"Seeds are added in declared stages, {stages} pairs, and {comparison.n} come to none "
            "of them: p is exploratory, and not corrected for being looked at now."
        )
    elif comparison.stages:
        yield (
            f"Seeds were added in declared stages, {stages} pairs: p holds whichever one they "
            "stopped at; the interval is not corrected for stopping."
        )
    yield from _uncounted(comparison)


def _early(comparison: Comparison) -> bool:
    return Looks(comparison.stages).before_first(comparison.n)


def _uncounted(comparison: Comparison) -> Iterator[str]:
    if comparison.uncounted:
        yield (
            f"Seeds {seed_list(comparison.uncounted)} do not count: no declared look has come to "
            "them, they were there before, or they count for one of the two alone."
        )


def _record(found: Duel) -> dict[str, Any]:
    seen = assumptions_of(found)
    return {
        "new": {"row": found.new.row, "label": row_label(found.new)},
        "base": {"row": found.base.row, "label": row_label(found.base)},
        "metric": asdict(found.metric),
        "seeds": [
            dict(zip(("seed", "new", "base", "difference"), line, strict=True))
            for line in _by_seed(found)
        ],
        "comparison": asdict(found.comparison),
        "p_two_sided": found.p,
        "detectable_two_sided": found.detectable,
        "sign_flip_two_sided": found.flip,
        "assumptions": asdict(seen) if seen else None,
        "target": found.target,
        "in_words": in_words(found),
        "notes": list(_notes(found)),
        "lacking": list(seeds_missing(found)),
    }
