"""Bringing MLflow up to date with the run store, once."""

from __future__ import annotations

from collections.abc import Iterable

from normbench.errors import BusyError
from normbench.store import RunStore, StoredRun
from normbench.tracking.mirror import Mirror
from normbench.tracking.report import SyncReport

LOCK = "collector"


def sync(
    store: RunStore,
    *,
    uri: str | None = None,
    runs: Iterable[StoredRun] | None = None,
    wait: float = 10.0,
) -> SyncReport:
    """Copy to MLflow what it lacks of the runs of *store*.

    Doing so again changes nothing, and an interrupted call is completed by the next one. Nothing is
    raised when a server is away: the runs are counted as failed, with the reason.

    Args:
        store: The run store.
        uri: Tracking URI; by default ``$MLFLOW_TRACKING_URI``, else the database in the store.
        runs: Runs to copy; by default all.
        wait: Seconds to wait for another process that copies this store.

    Returns:
        What was done.

    Raises:
        BusyError: If another process copies this store at the moment, such as ``normbench ui``.
        StoreError: If MLflow's database cannot be used as it is; with the fix.
    """
    with store.lock(LOCK, wait=wait) as held:
        if not held:
            raise BusyError(
                f"another normbench process copies {store.root} to MLflow at the moment and sends "
                "all that is new (an open `normbench ui` does so too)."
            )
        return Mirror(store, uri).update(runs).report()
