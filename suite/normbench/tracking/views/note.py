"""An experiment's note: our part of it, and what people wrote.

The pages show the first line when the note is folded, and render its links.
"""

from __future__ import annotations

from collections.abc import Sequence

from normbench.tracking.views.links import link
from normbench.tracking.views.ofruns import CURVES, DIVERGED, INCOMPLETE, RUNS

LONGEST_NOTE = 20_000
_BEGIN = "<!-- normbench writes from here -->"
_END = "<!-- to here; what stands above and below is yours and stays -->"
_SEEDS = {"Runs": RUNS, "Curves": CURVES, "Diverged": DIVERGED, "Incomplete": INCOMPLETE}


def note(experiment_id: str) -> str:
    """Return the note of an experiment whose leaderboard was not published yet."""
    return " | ".join(_links(experiment_id, ("Runs", "Curves")))


def with_boards(experiment_id: str, boards: Sequence[str], *, seeds: bool = True) -> str:
    """Return our part of the note, marked as such.

    Args:
        experiment_id: Experiment.
        boards: What to say of each leaderboard, in Markdown, a line each; the first stays visible.
        seeds: Whether the experiment holds seeds.
    """
    lines = [*boards, *([" | ".join(_links(experiment_id, _SEEDS))] if seeds else ())]
    first, *rest = lines
    return "\n\n".join([f"{_BEGIN}{first}", *rest, _END])


def merged(present: str, own: str, experiment_id: str) -> str:
    """Return the note with *own* in place of our earlier part; what people wrote stays.

    Args:
        present: The note as it is, empty if there is none.
        own: What :func:`with_boards` returned.
        experiment_id: Experiment.
    """
    before, begin, rest = present.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        return f"{before}{own}{after}"
    if not present.strip() or present == note(experiment_id):
        return own
    return f"{own}\n\n{present}"


def _links(experiment_id: str, chosen: Sequence[str] | dict[str, str]) -> list[str]:
    return [f"[{name}]({link('', experiment_id, _SEEDS[name])})" for name in chosen]
