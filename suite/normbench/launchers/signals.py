"""SIGTERM, which schedulers send, taken for Ctrl-C; and what no Ctrl-C may cut short.

What a signal raises is lost where Python cannot pass it on: in a destructor or in the callback of a
weak reference it is printed, and the program goes on. Of a run's first seconds, which import and
build much, that is no small part. So whoever works in a loop also asks whether a signal came.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# Signals that came and asked this process to stop. An Event would lock, which a handler must not.
_came: list[int] = []


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, unless somebody else in this process handles it."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    with _handled_by(_interrupt):
        yield


@contextlib.contextmanager
def interrupted_by_first_sigterm() -> Iterator[None]:
    """Take the first SIGTERM for Ctrl-C and ignore all others.

    A scheduler tells every process of a job, and a launcher its workers: the second must not break
    into what the first began.
    """
    with _handled_by(_interrupt_once):
        yield


def check_interrupted() -> None:
    """Raise what a SIGTERM raised and Python lost.

    Raises:
        KeyboardInterrupt: If one came.
    """
    if _came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Let the block end whatever the user types."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous or signal.default_int_handler)


@contextlib.contextmanager
def _handled_by(handler: signal._HANDLER) -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        _came.clear()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal's own
    _came.append(number)
    raise KeyboardInterrupt


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    _interrupt(number, frame)
