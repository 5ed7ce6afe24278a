"""Whether the spec and the result of a run are its own, and agree with themselves.

Files are copied and edited by people. A fingerprint is made of the identity and the seed that the
spec itself holds, so it is checked without any plugin, whatever version wrote it. The identity
leaves out what is at its default; a checksum in the spec, which older versions did not write, is of
all but the seed. What cannot be told for certain is believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from normbench.errors import DamagedFileError
from normbench.specs import RunSpec, fingerprints_of, is_unchanged
from normbench.store.files import read_json
from normbench.store.folders import FINAL, RESULT_FILE, SPEC_FILE, RunState, outcome_in

_MADE_AGAIN = (
    "Restore it from a backup, or delete it: `normbench resume` then trains the run again."
)
_CLOSE = 1e-9
_MOMENTS = ("final", "best")


class Scoring(NamedTuple):
    """How the score of a run comes from the numbers of its result.

    Attributes:
        metric: Part and quantity, such as ``test_accuracy``.
        moment: ``final`` or ``best``.
        direction: ``max`` or ``min``.
        worst: Score of a run that diverged; of losses none is above it.
    """

    metric: str
    moment: str
    direction: str
    worst: float

    @classmethod
    def of(cls, spec: RunSpec) -> Scoring:
        """Return how runs of *spec* are scored."""
        metric = spec.problem.metric
        moment = "best" if spec.protocol.rules.select == "best" else "final"
        return cls(metric.name, moment, metric.direction, metric.worst)


class Proof(NamedTuple):
    """What the specs of many runs, which differ in their seeds, must agree with.

    Attributes:
        fingerprint: Gives the fingerprint at a seed.
        contradiction: Where the identity says something else than the run would do, or that the
            specs are not as they were written; empty if neither.
        scoring: How results are scored.
    """

    fingerprint: Callable[[int], str]
    contradiction: str
    scoring: Scoring

    @classmethod
    def of(cls, spec: RunSpec, content: Mapping[str, Any]) -> Proof:
        """Return it for *spec*, which is the *content* of a file, at any seed."""
        found = next(_contradictions(spec), "")
        if not found and not is_unchanged(content):
            found = "was changed: its content is not what its checksum is of"
        return cls(fingerprints_of(spec.identity), found, Scoring.of(spec))

    def check(self, seed: int, path: Path) -> None:
        """Check that this is the spec of the run in the folder *path*, whose spec says *seed*.

        Raises:
            DamagedFileError: If it is not.
        """
        fingerprint = self.fingerprint(seed)
        if fingerprint == path.name and not self.contradiction:
            return
        problem = self.contradiction or (
            f"holds the spec of run {fingerprint}: it was changed, or is another run's"
        )
        raise DamagedFileError(
            f"{path / SPEC_FILE} {problem}. Restore it from a backup, or delete {path} and add the "
            "run again.",
            path / SPEC_FILE,
        )


def read_result(
    run: Path | str, scoring: Scoring | None = None, copy: Path | None = None
) -> dict[str, Any] | None:
    """Return the published result of the run in the folder *run*; None if there is none.

    Args:
        run: The folder, which bears the run's fingerprint.
        scoring: How it is scored; None to believe its score.
        copy: A file to read in its place.

    Raises:
        StoreError: If it cannot be read, is damaged, is another run's, or contradicts itself.
    """
    published = f"{run}/{RESULT_FILE}"
    file = published if copy is None else str(copy)
    result = read_json(file)
    if result is None:
        return None
    name = published.split("/")[-2]
    if (told := result.get("fingerprint", name)) != name:
        raise _damaged(file, f"it is the result of run {told}")
    if scoring is not None:
        state = outcome_in(result, file)
        if problem := _wrong_score(result, state, scoring):
            raise _damaged(file, problem)
    return result


def _damaged(file: str, problem: str) -> DamagedFileError:
    return DamagedFileError(f"{file} is damaged: {problem}. {_MADE_AGAIN}", Path(file))


def _wrong_score(result: Mapping[str, Any], state: RunState, scoring: Scoring) -> str:
    """Say where a result is not as one is written, or its score not of its numbers; else empty."""
    if state not in FINAL:
        return f"its outcome is {state}, and a result is {' or '.join(sorted(FINAL))}"
    if (metric := result.get("metric", scoring.metric)) != scoring.metric:
        return f"its metric is {metric!r}, and its spec's is {scoring.metric}"
    for name, value in result.items():
        if type(value) in (int, float) and not _is_finite(value):
            return f"its {name} is {value!r:.20}, expected a finite number"
    score = _number_at(result, "score")
    if score is None:
        given = (
            f"is {result['score']!r}, expected a finite number"
            if "score" in result
            else "is missing"
        )
        return f"its score {given}"
    if state is RunState.DIVERGED:
        if _agree(score, scoring.worst):
            return ""
        return f"its score is {score:g}, and a diverged run has {scoring.worst:g}"
    return _wrong_number(result, score, scoring)


def _wrong_number(result: Mapping[str, Any], score: float, scoring: Scoring) -> str:
    """Say where the *score* of a finished run is not made of its numbers; else empty."""
    part, _, quantity = scoring.metric.partition("_")
    value = _number_at(result, scoring.moment, part, quantity)
    name, told = f"{scoring.moment} {part} {quantity}", value
    if told is None:
        name, told = "score", score
    if quantity == "accuracy" and not -_CLOSE <= told <= 1 + _CLOSE:
        return f"its {name} is {told:g}, expected 0 to 1"
    if value is None:
        # Of a file that tells nothing but a score, nothing is certain; no worker writes one.
        if "metric" not in result and not any(moment in result for moment in _MOMENTS):
            return ""
        return f"its score is {score:g}, and it has no {scoring.moment} {part} {quantity}"
    # Older versions let a loss end above the worst score.
    bounded = min(value, scoring.worst) if scoring.direction == "min" else value
    if _agree(score, value) or _agree(score, bounded):
        return ""
    return f"its score is {score:g}, and its {scoring.moment} {part} {quantity} is {bounded:g}"


def _number_at(result: Mapping[str, Any], *names: str) -> float | None:
    value: Any = result
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return float(value) if type(value) in (int, float) and _is_finite(value) else None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # An integer that is too large for a float.
        return False


def _agree(one: float, other: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=_CLOSE, abs_tol=0.0)


def _contradictions(spec: RunSpec) -> Iterator[str]:
    """Yield where the identity of *spec* tells another value than the run is trained with."""
    for title, names, values in _told(spec):
        told = spec.identity
        for name in names:
            told = told.get(name, {}) if isinstance(told, Mapping) else {}
        for name in told.keys() & values.keys() if isinstance(told, Mapping) else ():
            value = _as_json(values[name])
            if told[name] != value:
                yield (
                    f"contradicts itself: its {title} has {name}={value}, and its identity says "
                    f"{told[name]}"
                )


def _told(spec: RunSpec) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Any]]]:
    """Yield parts of a spec: a title, where they are in the identity, and what is trained."""
    for kind, part in (
        ("problem", spec.problem),
        ("norm", spec.norm),
        ("optimizer", spec.optimizer),
        ("protocol", spec.protocol),
    ):
        yield kind, (kind,), {"name": part.name, "version": part.version}
    yield "norm", ("norm", "parameters"), spec.norm.parameters
    yield "optimizer", ("optimizer", "parameters"), spec.optimizer.parameters
    yield "network", ("problem", "network_parameters"), spec.problem.network.parameters
    yield "problem", ("problem", "training"), vars(spec.problem.training)
    yield "protocol", ("protocol", "rules"), vars(spec.protocol.rules)
    yield "ablation", ("ablation",), vars(spec.ablation)


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
