"""What a check is, how checks run, and what they say to a plugin's author when they fail."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

import normbench
from normbench.errors import NormbenchError, PluginError, unknown_name

T = TypeVar("T")
Outcome = Literal["passed", "failed", "does not apply", "skipped"]

_NOT_THE_AUTHORS = tuple(
    str(Path(module.__file__ or "").parent) for module in (torch, normbench, traceback)
)


class ContractError(AssertionError):
    """A contract that a plugin breaks, told to its author.

    Args:
        seen: What the plugin did, a sentence.
        expected: What it should have done, a sentence.
        change: What to change in it, a sentence.
    """

    def __init__(self, seen: str, expected: str, change: str) -> None:
        super().__init__(seen, expected, change)
        self.seen = seen
        self.expected = expected
        self.change = change

    def __str__(self) -> str:
        """Return the three sentences."""
        return f"{self.seen} Expected: {self.expected} To repair it: {self.change}"


@dataclass(frozen=True)
class Check(Generic[T]):
    """One contract that components of a kind keep.

    Attributes:
        function: Raises :class:`ContractError` where the contract is broken; returns nothing where
            it is kept, or why it does not apply.
    """

    function: Callable[[T], str | None]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def fact(self) -> str:
        """The sentence that holds for a component which keeps the contract."""
        return inspect.cleandoc(self.function.__doc__ or "")

    def __call__(self, component: T) -> str | None:
        """Check *component*; torch's global random state is left as it was.

        Returns:
            Why the check does not apply to it, or nothing.

        Raises:
            ContractError: If it breaks the contract.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                return self.function(component)
            except ContractError:
                raise
            except Exception as error:
                raise ContractError(
                    f"{type(error).__name__}{_place(error)}: {error}", self.fact, _change(error)
                ) from error

    def __str__(self) -> str:
        """Return the name, for pytest's ``ids=str``."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check made of one component.

    Attributes:
        kind: Kind of component.
        name: Its name.
        check: Name of the check.
        fact: What the check holds it to.
        outcome: How it went.
        message: For a failure what was seen; else why it does not apply.
        expected: For a failure, what should have been seen.
        change: For a failure, what to change in the plugin.
    """

    kind: str
    name: str
    check: str
    fact: str
    outcome: Outcome
    message: str = ""
    expected: str = ""
    change: str = ""


def findings(
    checks: Sequence[Check[T]], subject: T, kind: str, name: str, skip: Collection[str] = ()
) -> list[Finding]:
    """Return what each of *checks* makes of *subject*.

    Args:
        checks: In order.
        subject: What they are called with.
        kind: Kind of component, for the findings.
        name: Its name, for the findings.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If a name to skip is none of the checks'.
    """
    known = [check.name for check in checks]
    for wrong in skip:
        if wrong not in known:
            raise unknown_name(f"check of a {kind}", wrong, known)
    found = [_finding(check, subject, kind, name, check.name in skip) for check in checks]
    return _without_repetitions(found)


def _without_repetitions(found: Sequence[Finding]) -> list[Finding]:
    """Return *found* with each cause of failure told once; the other checks could not be made."""
    told: dict[str, str] = {}
    once = []
    for finding in found:
        if finding.outcome != "failed" or finding.message not in told:
            told.setdefault(finding.message, finding.check)
            once.append(finding)
            continue
        reason = f"cannot be made while {told[finding.message]} fails"
        once.append(replace(finding, outcome="skipped", message=reason, expected="", change=""))
    return once


def _finding(check: Check[T], subject: T, kind: str, name: str, skipped: bool) -> Finding:
    finding = Finding(kind=kind, name=name, check=check.name, fact=check.fact, outcome="skipped")
    if skipped:
        return finding
    try:
        reason = check(subject)
    except ContractError as error:
        return replace(
            finding,
            outcome="failed",
            message=error.seen,
            expected=error.expected,
            change=error.change,
        )
    outcome: Outcome = "does not apply" if reason else "passed"
    return replace(finding, outcome=outcome, message=reason or "")


def _change(error: Exception) -> str:
    """Return what to change where *error* came up; of our own classes, what they do have."""
    asked = type(getattr(error, "obj", None))
    if isinstance(error, AttributeError) and asked.__module__.startswith("normbench."):
        names = [*getattr(asked, "__annotations__", ()), *vars(asked)]
        public = sorted({name for name in names if not name.startswith("_")})
        return f"use what a {asked.__name__} has: {', '.join(public)}."
    if isinstance(error, PluginError):
        return "do what that says."
    return (
        "let it compute that, or refuse with a normbench.UsageError that says what to give instead."
    )


def _place(error: Exception) -> str:
    """Return where in the author's own code *error* came from, or nothing."""
    if isinstance(error, NormbenchError):
        return ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*_NOT_THE_AUTHORS, "<")):
            return f" in {Path(frame.filename).name}, line {frame.lineno} ({frame.name})"
    return ""


def require(holds: Any, seen: str, expected: str, change: str) -> None:
    """Raise :class:`ContractError` unless *holds*."""
    if not holds:
        raise ContractError(seen, expected, change)
