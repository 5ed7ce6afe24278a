"""Methods over problems as a sheet and sentences: only what the number of problems allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from normbench.leaderboard.formats import Section
from normbench.leaderboard.new_problems import LEAST_FOR_CD, LEAST_TO_TEST
from normbench.leaderboard.overall import LEVELS, Overall, Standing
from normbench.leaderboard.sheets import Sheet, p_text

_IMPROVEMENT = (
    "P(improvement): how often a seed beats a seed of its problem's reference, averaged over "
    "problems; 0.5 is neither."
)


def overall_section(found: Overall) -> Section:
    """Return the standings, what they say, and what they do not."""
    rows = tuple(
        (
            standing.norm,
            standing.optimizer,
            f"{standing.problems}/{len(found.problems)}",
            f"{standing.mean:.3f} [{standing.interval[0]:.3f}, {standing.interval[1]:.3f}]",
            f"{standing.improvement:.2f}",
            "" if standing.rank is None else f"{standing.rank:.2f}",
            p_text(standing.p),
        )
        for standing in found.standings
    )
    heads = (
        "norm",
        "optimizer",
        "problems",
        "score [95 %]",
        "P(improvement)",
        "mean rank",
        "p Holm",
    )
    title = f"{len(found.problems)} problems together, protocol {found.protocol}"
    columns = [*heads[:3], "score", "low", "high", *heads[4:]]
    return Section(
        title=title,
        sheets=(Sheet(heads, rows, heads[4:], title),),
        lines={
            "Words": [_IMPROVEMENT],
            "Notes": found.left_out,
            "What was tested": list(_tested(found)),
        },
        record=lambda: asdict(found) | {"levels": list(LEVELS), "test": _test_record(found)},
        flat=lambda: (columns, [_flat(standing) for standing in found.standings]),
        about=found,
    )


def _flat(standing: Standing) -> list[Any]:
    return [
        *(standing.norm, standing.optimizer, standing.problems, standing.mean),
        *(*standing.interval, standing.improvement, standing.rank, standing.p),
    ]


def _test_record(found: Overall) -> dict[str, Any] | None:
    if found.test is None:
        return None
    pairs = [
        {"methods": [" ".join(found.tested[i]), " ".join(found.tested[j])], "p": p}
        for (i, j), p in found.test.pairs.items()
    ]
    return {**vars(found.test), "pairs": pairs}


def _tested(found: Overall) -> Iterator[str]:
    count = len(found.problems)
    yield (
        f"For these {count} problems ({', '.join(found.problems)}), run again: scores on a scale "
        "from 0, the worst score, to 1, the reference's mean; their interquartile mean over all "
        "runs with a bootstrap interval over seeds within problems."
    )
    yield f"The reference is each problem's own: {'; '.join(found.references)}."
    test = found.test
    if count < LEAST_TO_TEST:
        yield (
            f"For other problems nothing can be said: {count} problems allow no test, which takes "
            f"{LEAST_TO_TEST}. Mean ranks are a description."
        )
    elif test is None:
        yield "For other problems: a test takes three methods that were run on every problem."
    else:
        yield (
            f"For problems like these: Friedman's test over {len(found.tested)} methods, p = "
            f"{test.p:.3g}; p of each method is that of the exact signed-rank test of its means "
            "against the reference's, two-sided, with Holm. All pairs: --format json."
        )
        if test.critical_difference is not None:
            yield f"Nemenyi's critical difference of mean ranks: {test.critical_difference:.2f}."
        else:
            yield f"A critical-difference figure takes {LEAST_FOR_CD} problems."
