"""Between observers and the run store: what an attempt observes, and how its series get out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from normbench.engine.observing import Observing, Watch, watch
from normbench.engine.session import Session
from normbench.errors import NormbenchError
from normbench.plugins import Catalogue
from normbench.series import Moments, describe_series
from normbench.store import Attempt, StoredRun, observers_of


class MomentSink:
    """Writes what observers see into one attempt, an epoch at a time."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def moments(self, observer: str, epoch: int, moments: Moments) -> None:
        """Append the moments of an epoch to the attempt's journal of series."""
        data = base64.b64encode(moments.to_bytes()).decode()
        line = {"epoch": epoch, "observer": observer, "seconds": moments.seconds, "npz": data}
        self._attempt.append_moments(line)


def open_observing(
    run: StoredRun, attempt: Attempt, session: Session, catalogue: Catalogue
) -> Observing:
    """Put the observers of *attempt* to work, going on from what it brought along.

    An attempt that continues from a checkpoint observes only what was observed from the first step;
    the series that it thus cannot have are made by another attempt, after the result.

    Raises:
        UsageError: If no plugin offers an observer.
    """
    wanted = run.lacking() if attempt.for_series else run.asked()
    if attempt.checkpoint is None:
        if wanted:
            attempt.append_moments({"observers": [asdict(observer) for observer in wanted]})
    else:
        begun = observers_of(attempt.moments)
        wanted = [observer for observer in wanted if observer in begun]
    watches = [watch(session, catalogue, observer) for observer in wanted]
    for each in watches:
        _bring_back(each, attempt.moments)
    return Observing(session, watches, MomentSink(attempt))


def publish_series(
    run: StoredRun, attempt: Attempt, watches: Iterable[Watch], result: Mapping[str, Any]
) -> None:
    """Make the series of an attempt the run's; *result* is what its training ended in.

    Raises:
        NormbenchError: If the run has a result already, with other weights.
    """
    watches = [each for each in watches if each.kept.steps]
    for each in watches:
        about = describe_series(each.spec.name, each.spec.parameters, each.description.measures)
        attempt.write_series(each.spec.name, each.kept.to_bytes(about))
    _refuse_other_weights(run, attempt, result)
    for each in watches:
        seconds, training = each.kept.seconds, result["train_seconds"]
        declaration = {
            "observer": asdict(each.spec),
            "weights_sha256": result["weights_sha256"],
            "seconds": round(seconds, 6),
            "share": round(seconds / training, 6) if training else 0.0,
        }
        attempt.publish_series(each.spec.name, declaration)


def _bring_back(each: Watch, lines: Iterable[Mapping[str, Any]]) -> None:
    for line in lines:
        if line.get("observer") == each.spec.name:
            data = base64.b64decode(line["npz"])
            moments = Moments.from_bytes(data, each.description.measures)
            moments.seconds = line["seconds"]
            each.kept.extend(moments)


def _refuse_other_weights(run: StoredRun, attempt: Attempt, result: Mapping[str, Any]) -> None:
    published = run.result()
    if published is None or published["weights_sha256"] == result["weights_sha256"]:
        return
    raise NormbenchError(
        f"training run {run.fingerprint[:8]} again for its series ended in other weights "
        f"({result['weights_sha256'][:12]}, on {result['device']}) than its result "
        f"({published['weights_sha256'][:12]}, on {published['device']}), so the series would not "
        f"belong to it. The result stands, and the series are kept in {attempt.path}. Ask for them "
        "on the same device, with the versions that `normbench status` shows for the run."
    )
