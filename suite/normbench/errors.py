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


class UnknownNameError(UsageError):
    """A name stands for nothing that is known; exit code 2.

    Attributes:
        kind: What it should be the name of.
        name: The name.
    """

    kind = ""
    name = ""

    @classmethod
    def of(cls, kind: str, name: str, message: str) -> UnknownNameError:
        """Return the error for *name*."""
        error = cls(message)
        error.kind, error.name = kind, name
        return error


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


class SecondInterrupt(KeyboardInterrupt):
    """Ctrl-C once more while workers stop: they were killed, and nothing else is to take time."""


class RunCancelledError(NormbenchError):
    """The run that is being trained was cancelled; it is let go of as it is."""


def install_extra(name: str) -> str:
    """Return the command that installs an extra, and where it works: normbench is on no index."""
    return f"pip install -c constraints.txt '.[{name}]' in the folder of normbench's source"


def unknown_name(
    kind: str, name: str, known: Iterable[str], likely: Iterable[str] = ()
) -> UsageError:
    """Return the error for a *name* that is not among the *known* ones of its *kind*.

    Args:
        kind: What it should be the name of.
        name: What was given.
        known: What there is.
        likely: Those of the known ones to look for the nearest first.
    """
    names = sorted(set(known))
    nearest = [
        *get_close_matches(name, sorted(set(likely)), n=1, cutoff=0.7),
        *get_close_matches(name, names, n=1, cutoff=0.5),
    ]
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    if len(names) > _MOST_LISTED:
        return UsageError(
            f"unknown {kind} {name!r}.{hint} There are {len(names)}: normbench list shows them."
        )
    listing = ", ".join(names) if names else "none"
    return UsageError(f"unknown {kind} {name!r}.{hint} Known: {listing}.")


def what_is_wrong(error: Exception) -> str:
    """Return what a reader's *error* says of a file's content, for people."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}" if error.args else "something in it is missing"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return f"something in it has another form ({error})"
    return str(error)


def not_together(
    kind: str, terms: Iterable[str], term: str, known: Iterable[str], there: str = ""
) -> UsageError:
    """Return the error for a *term* that is known, but not together with the *terms* before it.

    Args:
        kind: What was asked for, in the singular.
        terms: What the rest has in common.
        term: What none of the rest has.
        known: What there is in its place among the rest.
        there: Where that is, in words.
    """
    listed, names = list(terms), sorted(set(known))
    before, every = " and ".join(listed), "both" if len(listed) == 1 else "all of"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    where = f" {there}" if there else ""
    rest = f"is: {', '.join(names[:_MOST_NAMED])}{more}" if names else "is nothing of that kind"
    return UsageError(
        f"no {kind}{where} has {every} {before} and {term}. With {before} there {rest}."
    )


_MOST_NAMED = 12


_MOST_LISTED = 40
