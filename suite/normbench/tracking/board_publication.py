"""What MLflow shows of a leaderboard, computed from the leaderboard alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normbench.comparable import comparable
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import row_label
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import Section, as_json
from normbench.leaderboard.records import flat_records
from normbench.leaderboard.sheets import Cells, main_cells
from normbench.leaderboard.verdicts import Verdict
from normbench.tracking import names, views
from normbench.tracking.names import LB, LB_RANK
from normbench.tracking.publications import Line, Publication, digest_of, finite, said

_METRICS = {
    "rank": LB_RANK,
    "mean": f"{LB}score",
    "low": f"{LB}ci_lo",
    "high": f"{LB}ci_hi",
    "difference": f"{LB}delta",
    "difference_low": f"{LB}delta_lo",
    "difference_high": f"{LB}delta_hi",
    "win_rate": f"{LB}win_rate",
    "n": f"{LB}n",
    "diverged": f"{LB}n_diverged",
    "seconds": f"{LB}train_s",
}
_P = {"holm": f"{LB}p_holm", "bh": f"{LB}q", "none": f"{LB}p"}
_DRAWN = ("mean", "difference")
# True of any row compared with itself; there is no test, hence no p.
_OF_ITSELF = {"difference": 0.0, "win_rate": 0.5}
_TEXTS = {
    "lb.ranks": ("rank", 75),
    "lb.score": ("score", 160),
    "lb.difference": ("difference", 175),
    "lb.p": ("p", 60),
    "lb.verdict": ("verdict", 95),
    "lb.letters": ("letters", 75),
}
_COSTS = {"n": 55, "diverged": 105, "seconds": 90}


def publication_of(board: Board, sections: Sequence[Section], *, alone: bool) -> Publication:
    """Return what MLflow shows of *board*.

    Args:
        board: The leaderboard.
        sections: Those about it.
        alone: Whether it goes into the experiment of its own problem and protocol.
    """
    own = f"{board.problem} {board.entries[0].row.protocol}"
    reference = board.reference.row
    headings, records = flat_records(board)
    given = zip(board.entries, main_cells(board), records, strict=True)
    lines = [
        _line(board, entry, cells, dict(zip(headings, record, strict=True)))
        for entry, cells, record in given
    ]
    return Publication(
        key=digest_of(comparable(board.entries[0].row.identity)),
        title=board.title,
        suffix=board.title.removeprefix(own).strip() if alone else board.title,
        digest=digest_of(as_json(sections), 16),
        sentence=conclusion(board),
        sections=sections,
        lines=lines,
        tags={
            names.PROBLEM: board.problem,
            "normbench.metric": board.metric.name,
            "normbench.reference": row_label(reference) if reference else "none",
            "normbench.reference_choice": board.reference.why,
            "normbench.alpha": f"{board.terms.alpha:g}",
            "normbench.correction": board.terms.correction,
            "normbench.stages": ",".join(map(str, board.terms.stages)) or "none",
            "normbench.values": board.digest,
        },
        columns={
            **views.text_columns({name: width for name, (_, width) in _TEXTS.items()}),
            **views.number_columns({_METRICS[name]: width for name, width in _COSTS.items()}),
        },
        drawn=[_METRICS[name] for name in _DRAWN],
        norm=reference.norm_label if reference else None,
        optimizer=reference.optimizer if reference else None,
    )


def _line(board: Board, entry: Entry, cells: Cells, record: Mapping[str, Any]) -> Line:
    row = entry.row
    known = {**record, **(_OF_ITSELF if entry.verdict is Verdict.REFERENCE else {})}
    keys = {**_METRICS, "p_adjusted": _P[board.terms.correction]}
    return Line(
        key=row.row,
        name=f"{cells.norm}+{cells.optimizer}",
        n=entry.n,
        identity={
            names.ROW: row.row,
            names.NORM: row.norm_label,
            names.OPTIMIZER: row.optimizer,
            names.SETTING: row.setting_origin,
        },
        metrics=finite({metric: known[name] for name, metric in keys.items()}),
        texts=said({tag: getattr(cells, name) for tag, (name, _) in _TEXTS.items()}),
    )
