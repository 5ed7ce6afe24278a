"""Which runs the words of ``normbench worker`` name."""

from __future__ import annotations

import argparse

from normbench.errors import UsageError
from normbench.launchers.launches import read_runs
from normbench.store import RunStore


def chosen_runs(store: RunStore, options: argparse.Namespace) -> list[str] | None:
    """Return the fingerprints that the words of the command name; None for all.

    Raises:
        UsageError: If one is not in the store.
    """
    named: list[str] = []
    for prefix in options.runs:
        found = store.find(prefix)
        if not found:
            raise UsageError(
                f"no run or row of store {store.root} starts with {prefix!r}. "
                "See them with: normbench status"
            )
        named += sorted(run.fingerprint for run in found)
    if options.runs_file is not None:
        named += read_runs(options.runs_file)
    return named if options.runs or options.runs_file else None
