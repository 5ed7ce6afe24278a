"""The command line: it parses, calls, and prints; what it calls is importable without it.

Exit codes: 0 done; 1 some run failed, or an error that the message explains; 2 wrong usage; 130
interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from normbench.cli.group import cli

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        # Ctrl-C may come while it is imported.
        from normbench.cli.group import cli

        cli(prog_name="normbench")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted.\n")
        _leave()
    except SystemExit as end:
        if end.code != _INTERRUPTED:
            raise
        _leave()


def _leave() -> NoReturn:
    """End the process without taking MLflow's modules apart, which can take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(_INTERRUPTED)


def __getattr__(name: str) -> Any:
    if name == "cli":
        from normbench.cli.group import cli

        return cli
    raise AttributeError(f"module 'normbench.cli' has no attribute {name!r}")


__all__ = ["cli", "main"]
