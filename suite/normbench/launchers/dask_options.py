"""The words that the ``dask`` launcher takes, and how it comes to a scheduler."""

from __future__ import annotations

import json
import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.errors import UsageError, install_extra, unknown_name
from normbench.launchers import dask_worker
from normbench.launchers.base import Slots
from normbench.launchers.devices import devices

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
_NAMES = ("address", "scheduler_file", "timeout", "worker_timeout")
_TIMEOUT, _WORKER_TIMEOUT = 10.0, 300.0
_ADDRESS = re.compile(r"([a-z+]+://)?\S+:\d+")
_START = (
    "Start one with `dask scheduler`, and on each machine that is to train `dask worker "
    "tcp://HOST:8786`. For one on this machine alone: --launcher-option address=local."
)
_CONNECT_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DaskOptions:
    """What a user asked of Dask.

    Attributes:
        address: Of the scheduler; ``local`` for a cluster of this machine's own, made for the
            launch.
        timeout: Seconds within which the scheduler must answer.
        worker_timeout: Seconds that the launcher waits while the scheduler has no worker.
    """

    address: str
    timeout: float
    worker_timeout: float


def read_options(words: Mapping[str, str]) -> DaskOptions:
    """Return the options that *words* stand for; names may be written with ``-`` or ``_``.

    Raises:
        UsageError: If a name is unknown, a value does not fit, or no scheduler is named.
    """
    given = {name.replace("-", "_"): value.strip() for name, value in words.items()}
    for name in given:
        if name not in _NAMES:
            raise unknown_name("option of launcher dask", name, _NAMES)
    return DaskOptions(
        address=_address(given),
        timeout=_seconds(given, "timeout", _TIMEOUT),
        worker_timeout=_seconds(given, "worker_timeout", _WORKER_TIMEOUT),
    )


def check_installed() -> None:
    """Check that Dask can be imported.

    Raises:
        UsageError: If it cannot.
    """
    try:
        import distributed  # noqa: F401 - its import is the check
    except ImportError as error:
        raise UsageError(
            f"--launcher dask needs the package distributed ({error}). Install it here and where "
            f"the cluster runs: {install_extra('dask')}"
        ) from None


@contextmanager
def connected(options: DaskOptions, slots: Slots = None) -> Iterator[Client]:
    """Connect to the scheduler, or to a cluster of this machine's own with so many *slots*.

    Raises:
        UsageError: If Dask is not installed, no scheduler answers, or it has another normbench.
    """
    check_installed()
    from distributed import LocalCluster

    with ExitStack() as stack:
        address = options.address
        if address == LOCAL:
            address = stack.enter_context(
                LocalCluster(
                    n_workers=1,
                    threads_per_worker=len(devices("cpu", slots)),
                    dashboard_address=":0",
                    memory_limit=0,
                    preload=[dask_worker.__name__],
                )
            ).scheduler_address
        try:
            client = _client(address, options.timeout)
        except (OSError, ValueError) as error:
            _log.debug("%s: %s", address, error)
            raise UsageError(
                f"no Dask scheduler answered at {address} within {options.timeout:g} s: start one "
                "with `dask scheduler`, correct the address, or give more time with "
                "--launcher-option timeout=SECONDS."
            ) from None
        stack.enter_context(client)
        _check_scheduler(client)
        yield client


def _client(address: str, timeout: float) -> Client:
    """Return a client of the scheduler at *address*.

    Raises:
        OSError: If it does not answer in time. Where something listens that never does, Dask's own
            timeout does not always end the wait.
    """
    from distributed import Client

    found: list[Client | OSError | ValueError] = []

    def connect() -> None:
        try:
            found.append(Client(address, timeout=timeout, set_as_default=False))
        except (OSError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=connect, name="normbench-dask", daemon=True)
    thread.start()
    thread.join(2 * timeout + _CONNECT_SECONDS)
    if not found:
        raise TimeoutError(f"{address} accepts connections and says nothing")
    if not isinstance(found[0], Client):
        raise found[0]
    return found[0]


def _check_scheduler(client: Client) -> None:
    """Check that the scheduler can take tasks of this normbench: it reads what it hands on.

    Raises:
        UsageError: If it cannot.
    """
    name = f"the Dask scheduler at {client.scheduler.address}"
    try:
        theirs = client.run_on_scheduler(dask_worker.version)
    except Exception as error:  # noqa: BLE001 - Dask hands on whatever was raised there
        raise UsageError(
            f"{name} cannot load normbench ({type(error).__name__}: {error}). "
            f"{dask_worker.install_hint()}"
        ) from None
    if theirs != dask_worker.version():
        raise UsageError(f"{name} has normbench {theirs}. {dask_worker.install_hint()}")


def _address(given: Mapping[str, str]) -> str:
    address, file = given.get("address", ""), given.get("scheduler_file", "")
    if bool(address) == bool(file):
        both = "both address= and scheduler_file= are given, expected one of them"
        raise UsageError(
            f"--launcher dask: {both if address else 'no scheduler is named'}. Name it with "
            "--launcher-option address=tcp://HOST:8786 or --launcher-option scheduler_file=FILE. "
            f"{_START}"
        )
    if address:
        if address != LOCAL and not _ADDRESS.fullmatch(address):
            raise UsageError(
                f"--launcher-option address={address}: expected {LOCAL} or an address with its "
                "port, such as tcp://HOST:8786."
            )
        return address
    try:
        return str(json.loads(Path(file).read_text(encoding="utf-8"))["address"])
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError):
        reason = "it is not what `dask scheduler --scheduler-file` writes"
    raise UsageError(f"--launcher-option scheduler_file={file}: {reason}. {_START}")


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"--launcher-option {name}={text}: expected seconds above 0.")
    return seconds
