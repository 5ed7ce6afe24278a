"""Share work with forks, which pytest's own processes with their threads never do; print what came.

forked_work.py CASE
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

from normbench.store import forks

ITEMS = {"a": 1, "b": 5, "c": 2, "d": 4}
HERE = os.getpid()


def found(item: str) -> tuple[str, bool]:
    """Return the item, and whether a fork was at work."""
    return item, os.getpid() != HERE


def failing(item: str) -> tuple[str, bool]:
    """Work in this process only."""
    if os.getpid() != HERE:
        raise ValueError(item)
    return found(item)


def dying(item: str) -> tuple[str, bool]:
    """Work in this process only; a fork dies after its first item."""
    if os.getpid() != HERE and item != "d":
        os.kill(os.getpid(), signal.SIGKILL)
    return found(item)


def stuck(item: str) -> tuple[str, bool]:
    """Fail here, while a fork would go on for ever."""
    if os.getpid() == HERE:
        raise ValueError(item)
    while True:
        time.sleep(60)


def main(case: str) -> None:
    """Print what the forks of *case* found, or how it ended."""
    os.sched_getaffinity = lambda _: {0, 1}  # also on a machine with one core
    stop = threading.Event()
    sys.stdout.write("once ")  # still in the buffer while forks end
    try:
        if case == "threaded":
            threading.Thread(target=stop.wait).start()
        told = forks.shared(globals()[case], ITEMS, 1000 if case == "cheap" else 1)
    except ValueError as error:
        told = str(error)
    stop.set()
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = None
    sys.stdout.write(json.dumps([told, left]))


cheap = threaded = found

if __name__ == "__main__":
    main(*sys.argv[1:])
