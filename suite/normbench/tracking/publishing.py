"""Putting leaderboards into MLflow, once or again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from normbench.errors import BusyError, StoreError
from normbench.leaderboard.board import Board
from normbench.leaderboard.formats import Section
from normbench.store import RunStore
from normbench.tracking import faults
from normbench.tracking.backend import is_server, open_backend, open_server
from normbench.tracking.published import Published
from normbench.tracking.publisher import Publisher
from normbench.tracking.sync import sync

LOCK = "publisher"


def publish(
    boards: Sequence[Board],
    sections: Sequence[Section],
    store: RunStore | None,
    *,
    suite: str = "",
    uri: str | None = None,
    copy: bool = True,
    wait: float = 30.0,
) -> Published:
    """Put leaderboards into MLflow; what MLflow lacks of their runs is copied there first.

    Doing so again writes nothing. What has changed becomes a new revision, and the older ones stay.
    An interrupted call is completed by the next one.

    Args:
        boards: The leaderboards.
        sections: What :func:`normbench.leaderboard.sections.report_sections` makes of them.
        store: The run store that they were made from; None if they were read from a server.
        suite: The suite that they are of: they go into an experiment of its own, and the rows
            of the problems' experiments stay as they are.
        uri: Tracking URI; by default ``$MLFLOW_TRACKING_URI``, else the database in the store.
        copy: Whether the boards were made from the store, whose runs are copied first; else from
            what MLflow holds.
        wait: Seconds to wait for another process that publishes or copies this store.

    Raises:
        BusyError: If another process keeps publishing, or has not yet copied what is to be shown.
        StoreError: If MLflow cannot be reached or written; with the fix.
    """
    with store.lock(LOCK, wait=wait) if store else nullcontext(True) as held:
        if not held:
            raise BusyError(
                "another normbench process publishes from this store at the moment. Try again "
                "when it has ended."
            )
        backend = open_backend(store, uri) if store else open_server(uri)
        problems = _copied(store, uri) if store and copy else ()
        try:
            done = tuple(Publisher(backend, suite, problems, wait).publish(boards, sections))
        except backend.faults as error:
            if isinstance(error, BusyError):
                raise
            raise StoreError(
                "the leaderboard is not in MLflow, or only in part; publish again to complete it: "
                f"{faults.explain(error, backend.uri)}"
            ) from error
    return Published(
        address=backend.uri.rstrip("/") + "/" if is_server(backend.uri) else "", boards=done
    )


def _copied(store: RunStore, uri: str | None) -> tuple[str, ...] | None:
    """Copy what is new; return what went wrong, None while another process copies."""
    try:
        return sync(store, uri=uri, wait=0.0).problems
    except BusyError:
        return None
