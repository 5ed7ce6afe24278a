"""The rows of a suite: which of a store's rows its tables are made of, and their references."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.leaderboard.reading import ReadRow
    from normbench.plugins import Catalogue
    from normbench.resolve import Request


@dataclass(frozen=True, kw_only=True)
class SuiteRows:
    """Rows of a suite.

    Attributes:
        name: The suite.
        rows: Fingerprints of its rows.
        references: Those of the rows that it declares to compare with.
        words: Words of the user's that hold for all of them, as for ``normbench suite run``.
        own: Whether it is a file of the user's, not one of the catalogue's.
    """

    name: str
    rows: frozenset[str]
    references: frozenset[str]
    words: tuple[str, ...] = ()
    own: bool = False

    @property
    def title(self) -> str:
        """The suite and its words."""
        return f"{self.name} with {' '.join(self.words)}" if self.words else self.name

    @property
    def training(self) -> str:
        """The command that trains the rows."""
        return shlex.join(["normbench", "suite", "run", self.name, *self.words])

    @property
    def shown_as(self) -> str:
        """What the store calls tables of it, see :class:`normbench.store.Shown`."""
        return f"suite {self.title}"


def left_suite(rows: Iterable[ReadRow], suite: SuiteRows, option: str = "") -> Iterator[str]:
    """Yield that some of *rows* were shown in a table of the suite and are not among its rows now.

    That is so once settings of its cells were tuned, since a suite trains what is known now.
    """
    named = ((row, [each for each in row.shown if each.name == suite.shown_as]) for row in rows)
    left = [(row, tables[0]) for row, tables in named if tables and row.row not in suite.rows]
    if not left:
        return
    first, table = left[0]
    many = len(left) > 1
    yield (
        f"{counted(len(left), 'row')} that an earlier table of suite {suite.title} showed "
        f"{'are' if many else 'is'} not among its rows now, since settings were tuned or the suite "
        f"was changed. To see {'them' if many else 'it'} against the reference of that table: "
        f"normbench leaderboard --problem {first.problem} --protocol {first.protocol} --reference "
        f"{table.reference[:8]}{option}"
    )


def suite_rows(name: str, catalogue: Catalogue, words: Sequence[str] = ()) -> SuiteRows:
    """Return the rows that ``normbench suite run NAME WORDS`` trains.

    Raises:
        UsageError: If there is no such suite, it cannot be read, or a word fits no cell of it.
    """
    # Imported here: tables that are of no suite resolve nothing.
    from normbench.descriptions import Suite
    from normbench.suites import as_known_now, expand, find_suite

    plan = as_known_now(expand(find_suite(name, catalogue), catalogue, words), catalogue)
    return SuiteRows(
        name=name,
        rows=_rows(plan.requests, catalogue),
        references=_rows(plan.references, catalogue),
        words=tuple(words),
        own=name not in catalogue.names(Suite),
    )


def _rows(requests: Iterable[Request], catalogue: Catalogue) -> frozenset[str]:
    from normbench.resolve import resolve

    return frozenset(resolve(request, catalogue)[0].row for request in requests)
