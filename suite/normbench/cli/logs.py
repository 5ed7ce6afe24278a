"""The log of a command: on standard error, in colour on a terminal, and in a file if asked."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from normbench.errors import UsageError

LOGGER = "normbench"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_TIME = "%Y-%m-%d %H:%M:%S"


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at the time, so that a progress bar can step aside."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Standard error as it is now."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError(f"cannot replace standard error by {value!r}")


def check_folder(option: str, file: Path) -> None:
    """Raise :class:`UsageError` if the folder that *file* is to be written into is not there."""
    if not file.parent.is_dir():
        raise UsageError(
            f"{option} {file}: there is no folder {file.parent}. Make it first: mkdir -p "
            f"{shlex.quote(str(file.parent))}"
        )


@contextmanager
def logging_to_terminal(verbose: int, file: Path | None = None) -> Iterator[None]:
    """Show the log of normbench while the context lasts; other loggers stay as they are.

    Args:
        verbose: 0 shows warnings, 1 also what is being done, 2 everything.
        file: Appended to, at least with what is being done.

    Raises:
        UsageError: If *file* cannot be written.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handlers = [_terminal_handler(level)]
    if file is not None:
        handlers.append(_file_handler(file, min(level, logging.INFO)))
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate
    logger.setLevel(min(handler.level for handler in handlers))
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _terminal_handler(level: int) -> logging.Handler:
    handler = _StandardError()
    handler.setLevel(level)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(_formatter(coloured=coloured))
    return handler


def _file_handler(file: Path, level: int) -> logging.Handler:
    check_folder("--log-file", file)
    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--log-file {file} cannot be written: {error.strerror}. Give another file."
        ) from error
    handler.setLevel(level)
    handler.setFormatter(_formatter(coloured=False))
    return handler


def _formatter(*, coloured: bool) -> logging.Formatter:
    if not coloured:
        return logging.Formatter(_FORMAT, _TIME)
    from coloredlogs import ColoredFormatter

    formatter: logging.Formatter = ColoredFormatter(_FORMAT, _TIME)
    return formatter
