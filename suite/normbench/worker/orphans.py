"""A worker whose launcher is gone ends: a launcher started anew must not compete with it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from normbench.worker.trees import MARK, kill_tree

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0
_log = logging.getLogger(__name__)


def watch_parent(parent: int, *, at_once: bool = False) -> None:
    """Stop this process, as its launcher would with SIGTERM, once *parent* is not its parent.

    If it does not react, it is killed with all that it started.

    Args:
        parent: The process that started it.
        at_once: Whether it is killed without being asked.
    """
    threading.Thread(target=_watch, args=(parent, at_once), name="parent", daemon=True).start()


def _watch(parent: int, at_once: bool) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    if not at_once:
        _ask_to_end()
    kill_tree(os.getpid(), os.environ.get(MARK, ""))


def _ask_to_end() -> None:
    _log.warning("the launcher is gone; this worker ends at its last checkpoint")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
