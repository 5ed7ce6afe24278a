"""Which rows may stand in one table: what may be compared stands together, the rest apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from normbench.comparable import comparable, titles
from normbench.errors import DamagedFileError, UsageError
from normbench.leaderboard.board import Terms
from normbench.leaderboard.choosing import choose, find_row, of_settings
from normbench.leaderboard.edited_files import edited_since
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.references import Reference, declared_reference, post_hoc_reference
from normbench.leaderboard.suites import SuiteRows, left_suite
from normbench.plugins import Catalogue
from normbench.settings_now import has_settings, origin_now


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asks of the leaderboard.

    Attributes:
        problems: Problems by name; empty for all. This and the next four are filters.
        norms: Norms.
        optimizers: Optimizers.
        protocols: Protocols.
        settings: Where hyper-parameters come from, such as ``known`` or ``untuned``.
        metric: What to judge by; None for each problem's own metric.
        reference: Words that name the row to compare with; None for the declared one.
        suite: Only the rows of a suite, which may declare references.
        rows: Only these rows by fingerprint, beside their reference; empty for all.
        since: Leave out runs that finished before, in Unix seconds.
        current: Show no rows of one-off files that were edited since.
        terms: How to compare.
    """

    problems: Sequence[str] = ()
    norms: Sequence[str] = ()
    optimizers: Sequence[str] = ()
    protocols: Sequence[str] = ()
    settings: Sequence[str] = ()
    metric: str | None = None
    reference: str | None = None
    suite: SuiteRows | None = None
    rows: frozenset[str] = frozenset()
    since: float | None = None
    current: bool = False
    terms: Terms = field(default_factory=Terms)


Tables = Mapping[str, Sequence[ReadRow]]
Needed = Callable[[Sequence[ReadRow]], Sequence[ReadRow]]


def chosen_rows(
    reader: Reader, catalogue: Catalogue, wanted: Wanted, needed: Needed | None = None
) -> list[ReadRow]:
    """Return the rows that pass all filters; for *needed* see :func:`comparable_rows`.

    Raises:
        UsageError: If there are none; with what there is.
    """
    return narrowed(comparable_rows(reader, catalogue, wanted, needed), catalogue, wanted)


def comparable_rows(
    reader: Reader, catalogue: Catalogue, wanted: Wanted, needed: Needed | None = None
) -> list[ReadRow]:
    """Return the rows of the problems and protocols wanted, whatever their norms and optimizers.

    Rows of trials are among them, without runs: they are counted, never compared. So are rows whose
    results are all older than was asked for, so that a date chooses no reference.

    Args:
        reader: Where the rows are.
        catalogue: Knows the settings.
        wanted: What is asked for.
        needed: Returns those rows of which all must be known; None for all of them.

    Raises:
        UsageError: If there are none, or none since the date; with what there is.
        StoreError: If what is declared of one of them cannot be read.
    """
    filters = {"problem": wanted.problems, "protocol": wanted.protocols}
    everything = _of_suite(reader.rows(), reader, wanted.suite)
    chosen = with_damaged_settings(
        choose(everything, filters, catalogue, _among(wanted)), catalogue, wanted.settings
    )
    refuse_damaged(chosen if needed is None else needed(chosen))
    rows = as_known_now(chosen, catalogue)
    if not any(row.runs for row in rows):
        raise UsageError(
            f"{reader.place} holds no runs to compare. Train some: normbench run PROBLEM OPTIMIZER"
            f"{reader.option}"
        )
    if wanted.since is None:
        return rows
    dated = _dated(rows, reader, wanted.since)
    if not recent(dated, wanted):
        raise UsageError(
            f"{reader.place} has no results since {_day(wanted.since)} to compare. Give --since an "
            "earlier date, or leave it out."
        )
    return dated


def refuse_damaged(rows: Sequence[ReadRow]) -> None:
    """Refuse *rows* of which it is not known how they may be compared.

    Raises:
        StoreError: If it is not known of one of them whether its stages were declared, or which
            setting its cell has.
    """
    for row in rows:
        if row.damaged is not None:
            raise row.damaged


def _among(wanted: Wanted) -> str:
    if wanted.suite is None:
        return "in this store"
    return f"among the rows of suite {wanted.suite.title}"


def with_damaged_settings(
    rows: Sequence[ReadRow], catalogue: Catalogue, settings: Sequence[str] = ()
) -> list[ReadRow]:
    """Return *rows*, those marked whose cells have a setting in the store that cannot be read.

    Where one of several rows of such a cell may have it, or rows are chosen by *settings*, they are
    damaged; a row that is alone needs it only to say where its setting comes from.
    """
    found = [(row, damaged_setting_of(row, catalogue)) for row in rows]
    seen = Counter(_cell(row) for row, error in found if error and row.runs)
    return [
        _with(row, error, needed=bool(settings) or seen[_cell(row)] > 1) for row, error in found
    ]


def _with(row: ReadRow, error: DamagedFileError | None, *, needed: bool) -> ReadRow:
    if error is None:
        return row
    return replace(row, damaged=row.damaged or error) if needed else replace(row, recorded=error)


def _cell(row: ReadRow) -> tuple[str, ...]:
    return (row.problem, row.norm_label, row.optimizer, row.protocol, *row.deviations)


def damaged_setting_of(row: ReadRow, catalogue: Catalogue) -> DamagedFileError | None:
    """Return why the known setting of the cell of a row cannot be read; None if it can."""
    return catalogue.damaged_setting(row.problem, row.norm, row.optimizer, row.protocol)


def as_known_now(rows: Sequence[ReadRow], catalogue: Catalogue) -> list[ReadRow]:
    """Return *rows* with the origins that their settings have by what is known now.

    Where that cannot be read, the origin stays as it was recorded.
    """
    known = (_as_known_now(row, catalogue) for row in rows)
    found = ((row, edited_since(row, catalogue)) for row in known)
    return [row if is_so is row.edited else replace(row, edited=is_so) for row, is_so in found]


def _as_known_now(row: ReadRow, catalogue: Catalogue) -> ReadRow:
    if damaged_setting_of(row, catalogue):
        return row
    if not has_settings(catalogue, row.problem, row.norm, row.optimizer, row.protocol):
        return row
    origin = origin_now(row.content, catalogue)
    return row if origin == row.setting_origin else replace(row, setting_origin=origin)


def _of_suite(
    rows: Sequence[ReadRow], reader: Reader, suite: SuiteRows | None
) -> Sequence[ReadRow]:
    if suite is None:
        return rows
    found = [row for row in rows if row.row in suite.rows]
    if not found:
        left = "".join(f" {sentence}" for sentence in left_suite(rows, suite, reader.option))
        raise UsageError(
            f"{reader.place} has none of the {len(suite.rows)} rows of suite {suite.title}. Train "
            f"them: {suite.training}{reader.option}. Rows that were trained with other words are "
            f"others: give the words of the suite run, such as protocol.epochs=1, here, too.{left}"
        )
    return found


def recent(rows: Sequence[ReadRow], wanted: Wanted) -> list[ReadRow]:
    """Return the rows with results since the date wanted; all of them if there is none."""
    return [row for row in rows if wanted.since is None or row.scores]


def narrowed(rows: Sequence[ReadRow], catalogue: Catalogue, wanted: Wanted) -> list[ReadRow]:
    """Return the rows of the norms, optimizers and settings wanted, those of trials left out.

    Rows without results since the date wanted are left out, too.

    Raises:
        UsageError: If there are none; with what there is.
    """
    there = recent(rows, wanted)
    there = [row for row in there if not (wanted.current and row.edited)]
    run = [row for row in there if row.runs and (not wanted.rows or row.row in wanted.rows)]
    own = {"norm": wanted.norms, "optimizer": wanted.optimizers, "setting": wanted.settings}
    return choose(run, own, catalogue, _among(wanted))


def references_of(tables: Tables, catalogue: Catalogue, wanted: Wanted) -> dict[str, Reference]:
    """Return the reference of each table; one asked for must be found in at least one of them.

    Where settings were asked for it is chosen among their rows, by the same rule; it is post hoc
    where that is another row. A date has no part in the choice: one without results since then is
    none, and no other takes its place.
    """
    declared = {
        key: _of_settings(
            rows,
            declared_reference(rows, catalogue, wanted.problems, wanted.suite),
            catalogue,
            wanted,
        )
        for key, rows in tables.items()
    }
    chosen = declared if wanted.reference is None else _asked_for(tables, declared, wanted)
    return {key: _since(found, wanted.since) for key, found in chosen.items()}


def _of_settings(
    rows: Sequence[ReadRow], usual: Reference, catalogue: Catalogue, wanted: Wanted
) -> Reference:
    """Return the reference among the rows of the settings wanted, for the *usual* one of all."""
    asked = of_settings(rows, wanted.settings)
    if not wanted.settings or not asked:
        return usual
    found = declared_reference(asked, catalogue, wanted.problems, wanted.suite)
    if found.row is None:
        return found
    if usual.row is not None and usual.row.row == found.row.row:
        return replace(found, first=usual.first, earlier=usual.earlier)
    words = f"{found.why}, since --setting {' '.join(wanted.settings)} was asked for"
    return replace(found, why=words, post_hoc=True)


def _since(found: Reference, since: float | None) -> Reference:
    """Return no reference where the one *found* has results, but none since then."""
    if since is None or found.row is None or found.row.scores:
        return found
    words = f"{found.row.norm_label} with {found.row.optimizer}"
    why = f"the reference, {words}, has no results since {_day(since)}"
    return Reference(row=None, why=why, name=found.name)


def _day(since: float) -> str:
    return datetime.fromtimestamp(since).astimezone().isoformat(" ", "minutes")


def _asked_for(
    tables: Tables, declared: Mapping[str, Reference], wanted: Wanted
) -> dict[str, Reference]:
    asked = wanted.reference or ""
    found: dict[str, Reference] = {}
    missed: UsageError | None = None
    for key, rows in tables.items():
        try:
            run = [row for row in rows if row.runs or row.dated]
            found[key] = post_hoc_reference(run, asked, declared[key])
        except UsageError as error:
            missed = error
    if missed is not None and not found:
        # Of several tables, what all of them have is said.
        find_row([row for rows in tables.values() for row in rows if row.runs or row.dated], asked)
        raise missed
    nothing = Reference(row=None, why=f"no one row here is {asked!r}")
    return {key: found.get(key, nothing) for key in tables}


def tables_of(rows: Sequence[ReadRow]) -> dict[str, list[ReadRow]]:
    """Return the rows that may be compared with each other, by title, sorted."""
    groups: dict[str, list[ReadRow]] = {}
    for row in rows:
        groups.setdefault(row.table or comparable(row.identity), []).append(row)
    words = {
        key: (members[0].problem, members[0].protocol, *members[0].deviations)
        for key, members in groups.items()
    }
    named = titles(words)
    return dict(sorted((named[key], members) for key, members in groups.items()))


def _dated(rows: Sequence[ReadRow], reader: Reader, since: float) -> list[ReadRow]:
    """Return the rows with the runs that finished since then.

    Runs without a result stay, so that a date never makes an incomplete row look complete.
    """
    names = [run.fingerprint for row in rows for run in row.runs.values() if run.score is not None]
    young = {
        name
        for name, result in reader.results(names).items()
        if result.get("finished_at", 0) >= since
    }
    return [_without_old(row, young) for row in rows]


def _without_old(row: ReadRow, young: Collection[str]) -> ReadRow:
    """Return *row* without the results that are not among the *young* ones."""
    runs = {
        seed: run for seed, run in row.runs.items() if run.score is None or run.fingerprint in young
    }
    return replace(row, runs=runs, dated=len(row.runs) - len(runs))
