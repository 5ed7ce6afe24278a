"""Stopping a launch: by its launcher's own way, else by a signal to its driver on this machine."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from normbench.descriptions import Launcher
from normbench.errors import NormbenchError, UsageError, unknown_name
from normbench.launchers.launches import DRAIN, LaunchFolder, launches
from normbench.plugins import Catalogue
from normbench.store import processes

WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.1


def find_launch(store: Path, prefix: str) -> LaunchFolder:
    """Return the launch of the store in the folder *store* whose id begins with *prefix*.

    Raises:
        UsageError: If there is none, or more than one.
    """
    there = launches(store)
    found = [launch for launch in there if prefix and launch.id.startswith(prefix)]
    if len(found) > 1:
        names = ", ".join(launch.id for launch in found)
        raise UsageError(f"--launch {prefix} is not clear: it begins {names}. Give more of one.")
    if not found:
        raise unknown_name("launch", prefix, [launch.id for launch in there])
    return found[0]


def cancel_launch(launch: LaunchFolder, catalogue: Catalogue) -> str:
    """Stop *launch* and return what was done, in words; its runs stay at their last checkpoints.

    A launcher with a method ``cancel(launch)`` stops its own, wherever that runs. For others the
    driver is asked to stop by SIGTERM, if it is a process of this machine.

    Raises:
        UsageError: If the launcher is unknown, or the driver is on another machine.
        NormbenchError: If it cannot be stopped.
    """
    info = launch.info()
    if "ended" in info:
        return f"launch {launch.id} has ended already"
    name = info.get("launcher", "")
    # What `worker --drain` starts is nobody's launcher.
    launcher: Any = None if name == DRAIN else catalogue.get(Launcher, name).load()()
    if hasattr(launcher, "cancel"):
        launcher.cancel(launch)
        return f"launch {launch.id} was stopped"
    if launch.is_over():
        return f"launch {launch.id} has ended already"
    return _stop_driver(launch, info)


def _stop_driver(launch: LaunchFolder, info: dict[str, Any]) -> str:
    host, pid = info.get("host"), int(info.get("pid", 0))
    if host != socket.gethostname():
        raise UsageError(
            f"launch {launch.id} is driven from {host}, not from here. Stop it there: "
            f"normbench cancel --launch {launch.id} --store {info.get('store')}"
        )
    if info.get("boot") != processes.boot():
        raise UsageError(
            f"launch {launch.id} was driven from {host} before that was started anew, or from a "
            "container there. If it still runs, stop it where it does."
        )
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return f"launch {launch.id} has ended already"
    except PermissionError as error:
        raise NormbenchError(
            f"launch {launch.id} is process {pid} of another user, who alone may stop it."
        ) from error
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if launch.is_over():
            return f"launch {launch.id} was stopped"
        time.sleep(_POLL_SECONDS)
    return f"launch {launch.id} was told to stop and is ending"
