"""The workers of a Dask cluster as the launcher knows them, and which of them it can use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from normbench.launchers import dask_worker
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LAUNCH_FILE, LaunchFolder

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass
class Hand:
    """A Dask worker.

    Attributes:
        address: Where Dask finds it.
        host: Its machine.
        threads: Its threads, as its ``dask worker`` was told.
        gpus: The GPUs that it declares; 0 for none.
        refused: Why it cannot be used; empty if it can.
        future: Its draining; None if there is none.
        deaths: How often in a row its draining was killed.
        rests_until: Monotonic seconds before which it is not asked again.
    """

    address: str
    host: str = ""
    threads: int = 1
    gpus: int = 0
    refused: str = ""
    future: Future | None = field(default=None, repr=False)
    deaths: int = 0
    rests_until: float = 0.0

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"Dask worker {self.address}{f' on {self.host}' if self.host else ''}"


def addresses(client: Client) -> list[str]:
    """Return where all workers are.

    Raises:
        OSError: If the scheduler is gone.
    """
    # A client that gave up has no connection left, and says so by an AttributeError.
    if client.status != "running":
        raise ConnectionError("the connection to it is lost")
    return list(client.nthreads())


def stop_all(client: Client, launch: LaunchFolder) -> None:
    """Have all workers stop what they do for *launch*, and what else drains the same store.

    Raises:
        OSError: If the scheduler is gone.
    """
    if present := addresses(client):
        words = os.fspath(launch.path)
        client.run(dask_worker.stop, words, workers=present, on_error="return")


def greet(
    client: Client, new: Iterable[str], request: LaunchRequest, launch: LaunchFolder
) -> list[Hand]:
    """Ask the workers at the addresses *new* who they are; refuse those that cannot drain."""
    hands = [Hand(address) for address in new]
    found = client.run(
        dask_worker.look,
        os.fspath(launch.path / LAUNCH_FILE),
        [os.fspath(file) for file in request.plugin_files],
        workers=[hand.address for hand in hands],
        on_error="return",
    )
    for hand in hands:
        seen = found.get(hand.address, ConnectionError("it left"))
        if isinstance(seen, BaseException):
            hand.refused = _unusable(hand, seen)
        else:
            hand.host, hand.threads, hand.gpus = seen["host"], seen["threads"], seen["gpus"]
            hand.refused = _unfit(hand, seen, request)
    return hands


def _unusable(hand: Hand, error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{hand} cannot be reached: {error}."
    words = f"{hand} cannot load normbench ({type(error).__name__}: {error})."
    return f"{words} {dask_worker.install_hint()}"


def _unfit(hand: Hand, seen: Mapping[str, Any], request: LaunchRequest) -> str:
    """Return why a worker cannot drain the store; empty if it can."""
    if seen["normbench"] != dask_worker.version():
        return f"{hand} has normbench {seen['normbench']}. {dask_worker.install_hint()}"
    if not seen["sees"]:
        return (
            f"{hand} does not see the store {request.store}: what was just written there is "
            "missing. Put it on a file system that all machines have under the same path."
        )
    if not seen["writes"]:
        return f"{hand} may not write the store {request.store}. Let its user do so."
    if seen["missing"]:
        return f"{hand} does not see {', '.join(seen['missing'])}. Put it beside the store."
    return ""
