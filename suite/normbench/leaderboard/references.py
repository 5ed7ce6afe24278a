"""Which row the others of a table are compared with.

The rule, told before anything is looked at:

1. A suite compares with the row that it declares.
2. Else it is the row that stages of the table's rows were first declared against, or that the first
   table with verdicts was compared with, whichever is older. So what is trained or tuned later
   takes no reference's place. A leaderboard is such a table; ``norms``, ``optimizers``, a report,
   and ``compare`` of a row with its reference tell of the same pairs and fix what their leaderboard
   would. Figures fix nothing. Tables asked for by another name, such as a suite's or ``X_bn``
   instead of ``X`` or of none, fix nothing here; nor do those by another metric, with another
   correction or a larger alpha, and those that lose results by a date or rows by settings. But of
   a problem's names the one comes first by which a reference was shown or declared first: where
   that is another row, the table has verdicts against the second one, which are exploratory.
3. Else it is the problem's default norm with ``momentum``, or with ``sgd`` where that has no
   results. Of a problem by two names, such as ``X`` and ``X_bn``, it is the default norm of the
   one asked for, else of ``X``, else of the other.
4. Of the settings of that cell it is the one that is known now, else the published one, else the
   optimizer's defaults, else the only one.

Of a user's own suite, a table with another reference that was shown of its rows first is named:
that the suite was written before it is on trust.

Where settings were asked for, the rule is applied to rows of these. Neither scores nor ``--since``
play a part in it. Another row is taken where ``--reference`` asks for it; that may have
been chosen after looking, so verdicts are exploratory. So are those against a row that is the
reference only since settings were asked for: ``--setting`` chooses it as ``--reference`` does. A
row with declared stages is compared with the row that they were declared against, in every table
that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from normbench.descriptions import Problem
from normbench.leaderboard.choosing import find_row, no_setting, one_setting
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.suites import SuiteRows
from normbench.origins import in_words
from normbench.plugins import Catalogue
from normbench.settings_now import SUPERSEDED, kind_of, stands_for

REFERENCE_OPTIMIZERS = ("momentum", "sgd")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the other rows of a table are compared with.

    Attributes:
        row: The row; None if there is none.
        why: Where the choice comes from, or why there is none.
        post_hoc: Whether it was chosen when the table was asked for.
        name: What the table was asked for by: a suite, or a problem; empty if by neither.
        others: Rows that the rule might be thought to choose, too.
        first: The other row that was the reference before, in tables by another name of the
            problem; None if none was.
        earlier: What to say of the first table of the rows of a user's own suite, where it had
            another reference; empty if none had.
    """

    row: ReadRow | None
    why: str
    post_hoc: bool = False
    name: str = ""
    others: tuple[ReadRow, ...] = ()
    first: Reference | None = None
    earlier: str = ""


def declared_reference(
    rows: Sequence[ReadRow],
    catalogue: Catalogue,
    asked: Sequence[str] = (),
    suite: SuiteRows | None = None,
) -> Reference:
    """Return the reference by the rule of this module.

    Args:
        rows: The rows of one table.
        catalogue: Knows the problems' default norms.
        asked: Problems by the names they were asked for.
        suite: The suite that the table is of.
    """
    problem = rows[0].problem
    name = suite.shown_as if suite is not None else _name(problem, catalogue, asked)
    for row in rows:
        if suite is not None and row.row in suite.references and row.has_results:
            why = f"declared by suite {suite.title}"
            return Reference(row=row, why=why, name=name, earlier=_earlier(rows, row, suite))
    norms = default_norms(problem, catalogue, asked)
    by_rule = _by_rule(rows, norms)
    found = _fixed(rows, norms, name, by_rule)
    others = tuple(_others(rows, norms, found.row, by_rule.row))
    # What a suite compares with was declared, whatever tables of its problems were compared with.
    first = _first(rows, problem, catalogue, found.row) if suite is None else None
    earlier = _earlier(rows, found.row, suite)
    return replace(found, name=name, others=others, first=first, earlier=earlier)


def post_hoc_reference(rows: Sequence[ReadRow], text: str, declared: Reference) -> Reference:
    """Return the row that *text* names; it is post hoc unless it is the declared one.

    Raises:
        UsageError: If *text* does not name one row.
    """
    row = find_row(rows, text)
    if declared.row is not None and declared.row.row == row.row:
        return declared
    return Reference(row=row, why="chosen with --reference", post_hoc=True, name=declared.name)


def _by_rule(rows: Sequence[ReadRow], norms: Sequence[str]) -> Reference:
    tried = []
    for norm in norms:
        for optimizer in REFERENCE_OPTIMIZERS:
            tried.append(f"{norm} with {optimizer}")
            if cell := _cell(rows, norm, optimizer):
                return _setting_of(cell, tried[-1])
    return Reference(row=None, why=f"no results of {', '.join(tried)}")


def _cell(rows: Sequence[ReadRow], norm: str, optimizer: str) -> list[ReadRow]:
    named = (row for row in rows if (row.norm, row.optimizer) == (norm, optimizer))
    return [row for row in named if row.plain and row.has_results]


def _fixed(
    rows: Sequence[ReadRow], norms: Sequence[str], name: str, by_rule: Reference
) -> Reference:
    """Return the reference that was declared or shown first, else the one *by_rule*."""
    there = {row.row: row for row in rows if row.has_results}
    events = sorted(each for each in _events(rows, name) if each[1] in there)
    for at, row, how in events:
        found = there[row]
        # The name that was asked for decides: its own norm goes before another's stages.
        if name and how == _STAGES and found.norm != norms[0] and _has_cell(rows, norms[0]):
            continue
        if by_rule.row is not None and by_rule.row.row == row:
            return by_rule
        return Reference(row=found, why=f"declared: {_told(found, how, at)}")
    return by_rule


def _first(
    rows: Sequence[ReadRow], problem: str, catalogue: Catalogue, taken: ReadRow | None
) -> Reference | None:
    """Return which row was shown or declared first as the reference, if another is *taken*."""
    there = {row.row: row for row in rows if row.has_results}
    names = ["", *_names(problem, catalogue)]
    events = (each for name in names for each in _events(rows, name))
    first = min((each for each in events if each[1] in there), default=None)
    if first is None or taken is None or first[1] == taken.row:
        return None
    row = there[first[1]]
    return Reference(row=row, why=_told(row, first[2], first[0]))


def _earlier(rows: Sequence[ReadRow], taken: ReadRow | None, suite: SuiteRows | None) -> str:
    """Return which other row was the reference of the first table shown of a user's suite."""
    tables = [(shown.at, shown.reference) for row in rows for shown in row.shown]
    if suite is None or not suite.own or taken is None or not tables:
        return ""
    at, reference = min(tables)
    if reference == taken.row:
        return ""
    there = {row.row: f"{row.norm_label} with {row.optimizer} (row" for row in rows}
    name = there.get(reference, "A row that is not of this suite (row")
    return f"{name} {reference[:8]}) was the reference of a table shown on {_day(at)}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).date().isoformat()


def _told(row: ReadRow, how: str, at: float) -> str:
    kind = in_words(kind_of(row.setting_origin))
    return f"{row.norm_label} with {row.optimizer}, {kind} setting, {how} on {_day(at)}"


_STAGES = "by stages declared"
_TABLE = "as in the first table with verdicts"


def _events(rows: Sequence[ReadRow], name: str) -> Iterator[tuple[float, str, str]]:
    """Yield when, what, and how a reference of these rows was fixed."""
    for row in rows:
        if row.declared is not None and row.declared.reference:
            yield row.declared.declared_at, row.declared.reference, _STAGES
        for shown in row.shown:
            if shown.name == name:
                yield shown.at, shown.reference, _TABLE


def _has_cell(rows: Sequence[ReadRow], norm: str) -> bool:
    return any(_cell(rows, norm, optimizer) for optimizer in REFERENCE_OPTIMIZERS)


def _others(
    rows: Sequence[ReadRow], norms: Sequence[str], taken: ReadRow | None, by_rule: ReadRow | None
) -> Iterator[ReadRow]:
    """Yield the rows that may be taken for the reference: other settings, and the twin's norm."""
    if taken is None:
        return
    found = [by_rule] if by_rule is not None else []
    found += [
        row
        for row in _cell(rows, taken.norm, taken.optimizer)
        if kind_of(row.setting_origin) in _NAMED_SETTINGS
    ]
    twins = (_by_rule(rows, [norm]).row for norm in norms if norm != taken.norm)
    found += [row for row in twins if row is not None]
    yield from {row.row: row for row in found if row.row != taken.row}.values()


def of_its_cell(rows: Iterable[ReadRow], taken: ReadRow) -> Iterator[ReadRow]:
    """Yield those of *rows* that are of the norm and optimizer of the reference *taken*.

    They have results, and settings that might be thought to stand for that cell, too.
    """
    for row in rows:
        alike = (row.norm_label, row.optimizer) == (taken.norm_label, taken.optimizer)
        named = kind_of(row.setting_origin) in _NAMED_SETTINGS
        if alike and named and row.has_results and row.row != taken.row:
            yield row


_NAMED_SETTINGS = ("known", "published", "default", SUPERSEDED)


def _name(problem: str, catalogue: Catalogue, asked: Sequence[str]) -> str:
    """Return the first of the *asked* names that is the problem's twin's, else the problem's."""
    named = _named(problem, catalogue, asked)
    return named[0].name if named else problem if problem in asked else ""


def _named(problem: str, catalogue: Catalogue, asked: Sequence[str]) -> list[Problem]:
    """Return the twins ``X_bn`` of the *problem* among the names *asked*."""
    if problem not in catalogue.names(Problem):
        return []
    twins = (catalogue.get(Problem, name) for name in _names(problem, catalogue) if name in asked)
    return [other for other in twins if other.base == problem]


def _names(problem: str, catalogue: Catalogue) -> list[str]:
    """Return the names of the *problem*: its own, and those of its twins such as ``X_bn``."""
    if problem not in catalogue.names(Problem):
        return [problem]
    known = (catalogue.get(Problem, name) for name in catalogue.names(Problem))
    return [other.name for other in known if problem in (other.name, other.base)]


def default_norms(problem: str, catalogue: Catalogue, asked: Sequence[str] = ()) -> list[str]:
    """Return the default norms of a problem by its names, that of the name *asked* for first."""
    if problem not in catalogue.names(Problem):
        return ["none"]
    described = [catalogue.get(Problem, name) for name in catalogue.names(Problem)]
    family = [other for other in described if other.name == problem or other.base == problem]
    first = sorted(family, key=lambda other: bool(other.base))
    named = _named(problem, catalogue, asked)
    return list(dict.fromkeys(other.norm for other in [*named, *first]))


def _setting_of(cell: Sequence[ReadRow], words: str) -> Reference:
    row = one_setting(cell)
    if row is None:
        return Reference(row=None, why=f"{words} has {no_setting(cell)}")
    several = f", of {len(cell)} settings the {in_words(kind_of(row.setting_origin))} one"
    older = [each for each in cell if SUPERSEDED in each.setting_origin]
    known = stands_for(row.setting_origin, "known")
    lacking = "; what was tuned last there has no results here" if older and not known else ""
    return Reference(row=row, why=f"declared: {words}{several * (len(cell) > 1)}{lacking}")
