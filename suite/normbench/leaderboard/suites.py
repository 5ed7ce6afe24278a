"""The rows of a suite: which of a store's rows its tables are made of, and their references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normbench.plugins import Catalogue
    from normbench.resolve import Request


@dataclass(frozen=True, kw_only=True)
class SuiteRows:
    """Rows of a suite.

    Attributes:
        name: The suite.
        rows: Fingerprints of its rows.
        references: Those of the rows that it declares to compare with.
    """

    name: str
    rows: frozenset[str]
    references: frozenset[str]


def suite_rows(name: str, catalogue: Catalogue) -> SuiteRows:
    """Return the rows that ``normbench suite run NAME`` trains, without words of the user's.

    Raises:
        UsageError: If there is no such suite, or it cannot be read.
    """
    # Imported here: tables that are of no suite resolve nothing.
    from normbench.suites import as_known_now, expand, find_suite

    plan = as_known_now(expand(find_suite(name, catalogue), catalogue), catalogue)
    return SuiteRows(
        name=name,
        rows=_rows(plan.requests, catalogue),
        references=_rows(plan.references, catalogue),
    )


def _rows(requests: Iterable[Request], catalogue: Catalogue) -> frozenset[str]:
    from normbench.resolve import resolve

    return frozenset(resolve(request, catalogue)[0].row for request in requests)
