"""What normbench raises on purpose; the command line prints these without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class NormbenchError(Exception):
    """Something went wrong that the message explains; exit code 1."""


class UsageError(NormbenchError):
    """The request cannot be carried out as given; exit code 2.

    The message says what was received, what was expected, and the fix.
    """


class PluginError(UsageError):
    """A plugin that the request needs is broken or ambiguous; exit code 2."""


class DataError(UsageError):
    """A data file is missing or corrupt; exit code 2."""


class StoreError(NormbenchError):
    """The run store cannot be read or written; nothing in it was damaged."""


class NoStoreError(StoreError, UsageError):
    """The folder is no run store, and none can be made in it; exit code 2."""


class DamagedFileError(StoreError):
    """A file of the store that the request needs holds something else; exit code 2.

    Args:
        message: What is wrong, and the fix.
        file: The file; empty where the message alone tells it.
    """

    def __init__(self, message: str, file: Path = Path()) -> None:
        super().__init__(message)
        self.file = file


class BusyError(StoreError):
    """Another process is doing the same work on the store, and will complete it."""


class NewerStoreError(StoreError, UsageError):
    """The run store was written by a newer version; exit code 2."""


class LeaseLostError(NormbenchError):
    """Another worker has taken over the run; nothing more may be written to it."""


class RunCancelledError(NormbenchError):
    """The run that is being trained was cancelled; it is let go of as it is."""


def install_extra(name: str) -> str:
    """Return the command that installs an extra, and where it works: normbench is on no index."""
    return f"pip install -c constraints.txt '.[{name}]' in the folder of normbench's source"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a *name* that is not among the *known* ones of its *kind*."""
    names = sorted(set(known))
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    if len(names) > _MOST_LISTED:
        return UsageError(
            f"unknown {kind} {name!r}.{hint} There are {len(names)}: normbench list shows them."
        )
    listing = ", ".join(names) if names else "none"
    return UsageError(f"unknown {kind} {name!r}.{hint} Known: {listing}.")


_MOST_LISTED = 40
