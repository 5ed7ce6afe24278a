"""What a synchronisation did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from normbench.quantities import counted

BUSY = "another process copies these runs, such as an open `normbench ui`"
Done = Literal["failed", "unchanged", "updated", "created"]
_ORDER: tuple[Done, ...] = ("unchanged", "updated", "created")


@dataclass(frozen=True)
class SyncReport:
    """Runs of the store, counted by what happened to their copies in MLflow.

    Runs that no worker has begun are not copied and not counted.

    Attributes:
        created: Copied for the first time.
        updated: Had something new.
        unchanged: Had nothing new.
        failed: Not or only partly copied; the next synchronisation completes them.
        problems: Why, each reason once.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    problems: tuple[str, ...] = ()

    @property
    def behind(self) -> str:
        """What MLflow lacks of the store, in a sentence; empty if nothing that is known of."""
        if self.failed:
            return f"MLflow lacks {counted(self.failed, 'run')}, which the run store has."
        if any(problem != BUSY for problem in self.problems):
            return "MLflow may lack runs, which the run store has."
        return ""

    def __str__(self) -> str:
        """Return the counts and the reasons in one line."""
        counts = (
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged, "
            f"{self.failed} failed"
        )
        return "; ".join((counts, *self.problems))


class Tally:
    """What happened to each run, while one synchronisation or several go on."""

    def __init__(self) -> None:
        self._done: dict[str, Done] = {}
        self._problems: dict[str, None] = {}

    def count(self, fingerprint: str, done: Done) -> None:
        """Note what happened to a run; of several successes the greatest counts."""
        before = self._done.get(fingerprint)
        if before in _ORDER and done in _ORDER:
            done = max(before, done, key=_ORDER.index)
        self._done[fingerprint] = done

    def fail(self, fingerprints: Iterable[str], problem: str) -> None:
        """Note that runs failed because of *problem*."""
        self._problems[problem] = None
        for fingerprint in fingerprints:
            self._done[fingerprint] = "failed"

    def absorb(self, later: Tally) -> None:
        """Add what happened *later*; its problems replace the earlier ones."""
        for fingerprint, done in later._done.items():
            self.count(fingerprint, done)
        self._problems = later._problems

    def report(self) -> SyncReport:
        """Return the counts."""
        counts = Counter(self._done.values())
        return SyncReport(
            created=counts["created"],
            updated=counts["updated"],
            unchanged=counts["unchanged"],
            failed=counts["failed"],
            problems=tuple(self._problems),
        )
