"""What MLflow shows of methods over problems, computed from their standings alone."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.leaderboard.formats import Section, as_json
from normbench.leaderboard.overall import Overall, Standing
from normbench.tracking import names, views
from normbench.tracking.names import LB, LB_RANK
from normbench.tracking.publications import Line, Publication, digest_of, finite

_STANDING = {
    LB_RANK: 75,
    f"{LB}problems": 100,
    f"{LB}improvement": 120,
    f"{LB}mean_rank": 110,
    f"{LB}p_holm": 90,
}


def overall_publication(found: Overall, sections: Sequence[Section]) -> Publication:
    """Return what MLflow shows of methods over problems; *sections* are all of the report."""
    texts = {"lb.score": 190}
    return Publication(
        key=digest_of(f"problems together, {found.protocol}"),
        title=f"{len(found.problems)} problems together, {found.protocol}",
        suffix=f"all problems, {found.protocol}",
        digest=digest_of(as_json(sections), 16),
        sentence=_best(found),
        sections=sections,
        lines=[_standing(rank, each) for rank, each in enumerate(found.standings, 1)],
        tags={"normbench.problems": ",".join(found.problems)},
        columns={**views.text_columns(texts), **views.number_columns(_STANDING)},
        drawn=[f"{LB}score"],
    )


def _standing(rank: int, found: Standing) -> Line:
    low, high = found.interval
    name = f"{found.norm}+{found.optimizer}"
    numbers = {
        LB_RANK: rank,
        f"{LB}score": found.mean,
        f"{LB}ci_lo": low,
        f"{LB}ci_hi": high,
        f"{LB}problems": found.problems,
        f"{LB}improvement": found.improvement,
        f"{LB}mean_rank": found.rank,
        f"{LB}p_holm": found.p,
    }
    return Line(
        key=name,
        name=name,
        identity={names.NORM: found.norm, names.OPTIMIZER: found.optimizer},
        metrics=finite(numbers),
        texts={"lb.score": f"{found.mean:.3f} [{low:.3f}, {high:.3f}]"},
    )


def _best(found: Overall) -> str:
    if not found.standings:
        return "No method has results on two problems."
    best, count = found.standings[0], len(found.problems)
    return (
        f"{best.norm} with {best.optimizer} has the best score over {best.problems} of {count} "
        f"problems, {best.mean:.3f} where the reference has 1."
    )
