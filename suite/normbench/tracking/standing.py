"""Which of two versions of one run stands: the one that MLflow holds, or the store's.

They differ when a run was repeated: after a crash, on another machine, or in another store that
feeds the same server. A result outlasts any curve without one, a later result an earlier one, and
of two unfinished attempts the later one; so every store arrives at the same version. An attempt has
one result: where MLflow holds another one of the same attempt, a file was wrong when it was copied,
and the store's stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from normbench.tracking import names
from normbench.tracking.backend import Backend
from normbench.tracking.experiments import MlflowRun, steps_of
from normbench.tracking.seeds import SeedContent

Verdict = Literal["keep", "fill", "replace"]


def judge(backend: Backend, held: MlflowRun, content: SeedContent) -> Verdict:
    """Decide between *held* and *content*.

    Returns:
        ``keep``: *held* stands and nothing is written. ``fill``: it is a beginning of *content*,
        which adds what is missing. ``replace``: it is of an earlier attempt that went another way.
    """
    theirs, ours = _time(held.tags, names.FINISHED_AT), _time(content.tags, names.FINISHED_AT)
    begun = _time(held.tags, names.STARTED), _time(content.tags, names.STARTED)
    if theirs and theirs != ours:
        wrong = bool(ours) and begun[0] == begun[1]
        return "replace" if wrong or ours > theirs else "keep"
    steps = steps_of(backend, held)
    points = {(point.key, point.step): point.value for point in content.points}
    newer = bool(ours) or begun[1] > begun[0]
    if any(points.get(place, value) != value for place, value in steps.items()):
        return "replace" if newer else "keep"
    if steps.keys() <= points.keys():
        return "fill"
    # MLflow is ahead: of a result that ended sooner, of an attempt that went back to its
    # checkpoint, or of an old copy of the store.
    if ours:
        return "replace"
    return "fill" if newer else "keep"


def _time(tags: Mapping[str, str], name: str) -> float:
    return float(tags.get(name, 0.0))
