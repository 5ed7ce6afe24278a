"""Where the log of a command goes."""

from __future__ import annotations

import io
import logging
import re

import pytest

from normbench.cli.logs import logging_to_terminal

LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO hello$", re.MULTILINE)


class Terminal(io.StringIO):
    """Text that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def speak() -> None:
    """Say one thing at each level."""
    logger = logging.getLogger("normbench.somewhere")
    logger.debug("detail")
    logger.info("hello")
    logger.warning("beware")


@pytest.mark.parametrize(
    ("verbose", "shown"), [(0, "W"), (1, "IW"), (2, "DIW"), (3, "DIW")], ids=str
)
def test_verbosity_decides_what_is_shown(capsys, verbose, shown):
    """No -v shows warnings, one also what is being done, two everything."""
    with logging_to_terminal(verbose):
        speak()
    levels = [line.split()[2][0] for line in capsys.readouterr().err.splitlines()]

    assert list(shown) == levels


def test_piped_lines_are_plain(capsys):
    """Without a terminal a line is time, level and message, without colour."""
    with logging_to_terminal(1):
        speak()

    assert LINE.search(capsys.readouterr().err)


def test_terminal_lines_are_coloured(monkeypatch):
    """On a terminal the lines carry colour, unless NO_COLOR forbids it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    with logging_to_terminal(1) as _:
        speak()
        coloured = logging.getLogger("normbench").handlers[0].stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr", Terminal())
    with logging_to_terminal(1):
        speak()
        plain = logging.getLogger("normbench").handlers[0].stream.getvalue()

    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


def test_log_file_gets_at_least_what_is_being_done(tmp_path, capsys):
    """The file holds plain lines from INFO on, though the terminal shows warnings only."""
    file = tmp_path / "run.log"
    with logging_to_terminal(0, file):
        speak()

    assert LINE.search(file.read_text(encoding="utf-8"))
    assert "hello" not in capsys.readouterr().err


def test_log_file_is_appended_to(tmp_path):
    """A second command adds to the file."""
    file = tmp_path / "run.log"
    for _ in range(2):
        with logging_to_terminal(0, file):
            speak()

    assert 2 == len(LINE.findall(file.read_text(encoding="utf-8")))


def test_loggers_are_left_as_they_were(capsys):
    """The root logger keeps its handlers, and ours loses those it was lent."""
    root, ours = logging.getLogger(), logging.getLogger("normbench")
    before = list(root.handlers), list(ours.handlers), ours.level, ours.propagate
    with logging_to_terminal(2):
        within = list(root.handlers)

    assert before[0] == within
    assert before == (list(root.handlers), list(ours.handlers), ours.level, ours.propagate)
