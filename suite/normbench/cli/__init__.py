"""The command line: it parses, calls, and prints; what it calls is importable without it.

Exit codes: 0 done; 1 some run failed, or an error that the message explains; 2 wrong usage; 130
interrupted.
"""

from __future__ import annotations

from normbench.cli.group import cli


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    cli(prog_name="normbench")


__all__ = ["cli", "main"]
