"""SIGTERM, which schedulers send, taken for Ctrl-C; and what neither may cut short.

What a signal raises is lost where Python cannot pass it on: in a destructor or in the callback of a
weak reference it is printed, and the program goes on. Of a run's first seconds, which import and
build much, that is no small part. So whoever works in a loop also asks whether a signal came.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType

# Signals that came and asked this process to stop. An Event would lock, which a handler must not.
_came: list[int] = []
_UNTOUCHED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, and note both, each unless somebody else here handles it."""
    with _handled_by({number: _interrupt for number in _UNTOUCHED if _is_untouched(number)}):
        yield


@contextlib.contextmanager
def interrupted_by_first_sigterm() -> Iterator[None]:
    """Take the first SIGTERM for Ctrl-C and ignore all others; every Ctrl-C interrupts.

    A scheduler tells every process of a job, and a launcher its workers: the second must not break
    into what the first began.
    """
    noted = {signal.SIGINT: _interrupt} if _is_untouched(signal.SIGINT) else {}
    with _handled_by({**noted, signal.SIGTERM: _interrupt_once}):
        yield


def interrupts() -> int:
    """Return how many signals asked this process to stop since it began to note them."""
    return len(_came)


def check_interrupted(before: int = 0) -> None:
    """Raise what a signal raised and Python lost, in the thread in which Python raises it.

    Args:
        before: How many of them are known.

    Raises:
        KeyboardInterrupt: If another one came.
    """
    if len(_came) > before and _is_main():
        raise KeyboardInterrupt


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Let the block end whatever the user types; what is noted outside is noted here as well."""
    noted = {number: _note for number in _UNTOUCHED if signal.getsignal(number) in _OURS}
    ignored = {signal.SIGINT: signal.SIG_IGN} if _is_untouched(signal.SIGINT) else {}
    with _replaced({**ignored, **noted}):
        yield


@contextlib.contextmanager
def _handled_by(handlers: Mapping[signal.Signals, signal._HANDLER]) -> Iterator[None]:
    with _replaced(handlers):
        try:
            yield
        finally:
            if handlers and _is_main():
                _came.clear()


@contextlib.contextmanager
def _replaced(handlers: Mapping[signal.Signals, signal._HANDLER]) -> Iterator[None]:
    """Replace handlers, which Python allows the main thread alone."""
    if not _is_main():
        yield
        return
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _is_untouched(number: signal.Signals) -> bool:
    return signal.getsignal(number) is _UNTOUCHED[number]


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal's own
    _came.append(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _note(number, frame)
    raise KeyboardInterrupt


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    if number not in _came:
        _interrupt(number, frame)


_OURS = (_note, _interrupt, _interrupt_once)
