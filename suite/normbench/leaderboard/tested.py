"""What was tested: the last lines of every table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from normbench.leaderboard.against import LEAST_FOR_INTERVAL
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import row_label
from normbench.leaderboard.making import MOST_FOR_LETTERS, MOST_FOR_RANKS, judged_incomplete
from normbench.leaderboard.notes import seed_list
from normbench.leaderboard.stage_notes import tested_in_stages
from normbench.leaderboard.verdicts import Verdict
from normbench.quantities import counted
from normbench.tables import score

_DRIVEN = "initial values, data order, augmentation"


def what_was_tested(board: Board) -> list[str]:
    """Return what was measured, compared and corrected for, in sentences."""
    return [
        *_measured(board),
        *(_compared(board) if board.reference.row and len(board.entries) > 1 else ()),
        *_ordered(board),
        *_made(board),
    ]


def _measured(board: Board) -> Iterator[str]:
    metric, rules = board.metric, board.entries[0].row.rules
    way = "higher" if metric.direction == "max" else "lower"
    when = "at the best epoch on validation" if rules.get("select") == "best" else "at the end"
    sentence = f"{metric.name} {when}, one number for each seed; {way} is better"
    if metric.smallest_difference:
        smallest = score(metric.smallest_difference, metric.name)
        sentence += f"; smallest difference of interest {smallest}"
    few = any(0 < entry.n < LEAST_FOR_INTERVAL for entry in board.entries)
    without = f"; a mean of fewer than {LEAST_FOR_INTERVAL} seeds has none" if few else ""
    yield f"{sentence}. Intervals are 95 % t intervals{without}."
    split = rules.get("validation_driven_by") == "seed" and rules.get("validation_share")
    rest = ", dropout and the train/validation split" if split else " and dropout"
    seeds = {seed for entry in board.entries for seed in entry.values}
    if seeds:
        drives = "drives" if len(seeds) == 1 else "drive"
        seed = "Seed" if len(seeds) == 1 else "Seeds"
        yield f"{seed} {seed_list(sorted(seeds))} {drives} {_DRIVEN}{rest}."


def _compared(board: Board) -> Iterator[str]:
    reference = board.reference
    assert reference.row is not None  # noqa: S101 - the caller asked
    yield (
        f"Paired t-test by seed, one-sided, against {row_label(reference.row)} ({reference.why}). "
        "p is that of the side the difference is on, and may be small where the two-sided interval "
        "holds 0."
    )
    family, alpha = board.family, f"{100 * board.terms.alpha:g} %"
    if not family:
        yield "No row has five pairs that vary, so nothing is confirmed and nothing corrected for."
    elif board.terms.correction == "holm":
        families = f"`better` and `worse` are two families of {family}, each corrected by Holm"
        yield f"{families}{_bound(board, alpha) if _confirms(board) else ''}."
    else:
        how = _CORRECTED[board.terms.correction]
        yield f"`better` and `worse` are two families of {family}, {how}"
    yield from tested_in_stages(board)
    found = [entry for entry in board.entries if entry.comparison and entry.comparison.n]
    yield from _about_pairs(board, found)


def _confirms(board: Board) -> bool:
    """Whether a row has a verdict that is more than a hint."""
    said = {entry.verdict for entry in board.whole} - _HINTS
    return bool(said) and not board.exploratory


_HINTS = frozenset({None, Verdict.EXPLORATORY, Verdict.TOO_FEW, Verdict.REFERENCE})


def _bound(board: Board, alpha: str) -> str:
    return (
        f": where {condition(board)} the probability of any false `better` in this table is at "
        f"most {alpha}, that of any false `worse` too (simulated for 5 %: with heavy tails or two "
        "modes 1 to 6 %)"
    )


def condition(board: Board) -> str:
    """Return what the probability of a false verdict rests on, a comma behind."""
    if not judged_incomplete(board):
        return "differences are normal,"
    return (
        "differences are normal, and seeds are missing for no reason that has to do with what they "
        "would have shown,"
    )


_CORRECTED = {
    "bh": "with Benjamini and Hochberg's q, which bounds the share of false claims, not any.",
    "none": "uncorrected.",
}


def _about_pairs(board: Board, found: list[Entry]) -> Iterator[str]:
    comparisons = [entry.comparison for entry in found if entry.comparison]
    if not comparisons:
        return
    known = [c.correlation for c in comparisons if not math.isnan(c.correlation)]
    if known:
        yield (
            f"Correlation of the pairs: median {median(known):.2f}, from {min(known):.2f} to "
            f"{max(known):.2f}; pairing gains where it is positive."
        )
    pairs = sorted({c.n for c in comparisons})
    looks = [max(1, len(c.stages)) for c in comparisons if c.n == pairs[0]]
    least = min(1.0, min(looks) * 2.0 ** -pairs[0])
    sentence = (
        f"Pairs: {seed_list(pairs)}; the exact sign-flip p of {pairs[0]} is {least:.2g} at least"
    )
    if least * max(1, board.family) >= board.terms.alpha:
        rows = counted(sum(c.n == pairs[0] for c in comparisons), "row")
        where = f"of the {rows.removeprefix('1 ')} with {pairs[0]} pairs" if pairs[1:] else "here"
        sentence += f", so that it alone could decide nothing {where}"
    yield f"{sentence}. All p: --format json."


def _ordered(board: Board) -> Iterator[str]:
    rows = len(board.whole)
    if rows > MOST_FOR_RANKS:
        yield f"Above {MOST_FOR_RANKS} rows there are no rank intervals."
    elif any(entry.rank_interval for entry in board.entries):
        ranks = "Ranks" if board.all_drawn else "In brackets"
        of = "the ranks" if board.all_drawn else _ranks_of_some(board)
        yield (
            f"Order: by mean. {ranks}: 90 % of {of} when the seeds are drawn again, which shows "
            "how fragile the order is and tests nothing."
        )
    if any(entry.letters for entry in board.entries):
        yield " ".join(_about_letters(board))
    elif rows > MOST_FOR_LETTERS:
        yield f"Above {MOST_FOR_LETTERS} rows there are no letters."


def _ranks_of_some(board: Board) -> str:
    return (
        f"the ranks among the {board.drawn} rows of {LEAST_FOR_INTERVAL} seeds or more, by the "
        "seeds that all of them share,"
    )


def _about_letters(board: Board) -> Iterator[str]:
    lettered = [entry for entry in board.entries if entry.letters]
    yield "Rows that share a letter are not told apart by two-sided tests of all pairs with Holm."
    own = {x for e in lettered if e.verdict is Verdict.REFERENCE for x in e.letters}
    if any(e.verdict in (Verdict.BETTER, Verdict.WORSE) and own & {*e.letters} for e in lettered):
        yield (
            "These pairs are a larger family than the one-sided tests against the reference, "
            f"{board.family} a side, and the reference is one row among others in it: a row may be "
            "`better` or `worse` and share a letter with the reference."
        )


def _made(board: Board) -> Iterator[str]:
    rules, provenance = board.entries[0].row.identity["protocol"], board.provenance
    parts = [f"protocol {rules['name']} version {rules['version']}, precision {rules['precision']}"]
    for counts in (provenance.versions, provenance.commits, provenance.hardware):
        names = [name for name in counts if name]
        if len(names) == 1:
            parts.append(names[0])
        elif names:
            parts.append(f"{len(names)} kinds: {', '.join(sorted(names)[:4])}")
    yield f"{'; '.join(parts)}; hash of the values {board.digest}."
