"""Which row the staged one is compared with, by the rules of its table, and what trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from normbench.comparable import comparable, mixture
from normbench.errors import UsageError
from normbench.leaderboard.choosing import base_problem, row_label
from normbench.leaderboard.grouping import as_known_now, refuse_damaged, with_damaged_settings
from normbench.leaderboard.reading import ReadRow, ReadRun, StoreReader
from normbench.leaderboard.references import REFERENCE_OPTIMIZERS, declared_reference
from normbench.overrides import read_overrides
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore

_SHARED = ("problem", "network", "protocol")


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """The row that a staged one is compared with.

    Attributes:
        spec: What trains its first seed.
        why: Why it is the reference.
        seeds: Seeds that the store has runs of.
        stored: Whether it has results in the store.
        counting: The seeds that count, in their order, where it has declared stages of its own;
            else None, for all of them.
        others: When tables of the same rows were shown against other rows, and these in words.
    """

    spec: RunSpec
    why: str
    seeds: tuple[int, ...] = ()
    stored: bool = False
    counting: tuple[int, ...] | None = None
    others: tuple[tuple[float, str], ...] = ()

    @property
    def label(self) -> str:
        """Its norm, optimizer and setting."""
        return short_label(self.spec)


def short_label(spec: RunSpec) -> str:
    """Return norm, optimizer, and the hyper-parameters that differ from their defaults."""
    setting = spec.identity["optimizer"]["parameters"].items()
    values = [f"{name}={typed(value)}" for name, value in setting]
    return " ".join([spec.norm_label, spec.optimizer_label, *values])


def find_opponent(
    request: Request,
    spec: RunSpec,
    store: RunStore | None,
    catalogue: Catalogue,
    bound: str = "",
) -> Opponent:
    """Return the reference of the table that the row of *spec* will stand in.

    Where stages of the row are declared already, it is the row *bound* to them.

    That is the declared one of the rows in the store, as ``normbench leaderboard`` with this
    problem chooses it. Where the store has none beside the row itself, it is the problem's default
    norm with momentum, which is to be trained then.

    Raises:
        UsageError: If the row is that reference itself, or no row can be the reference.
    """
    rows = _table(spec, store, catalogue)
    for row in rows:
        if row.row == bound:
            why = "its stages were declared against it"
            found = _stored(row, why, stored=bool(row.scores))
            return replace(found, others=_other_tables(rows, found))
    found = _by_rule(request, spec, rows, catalogue)
    if bound and found.spec.row != bound:
        raise UsageError(
            f"the stages of {short_label(spec)} were declared against the row {bound[:8]}, of "
            f"which this store has nothing; now it would be {found.label}. Bring its runs here "
            "with: normbench sync --from DIR, or use another store."
        )
    return replace(found, others=_other_tables(rows, found))


def _other_tables(rows: Sequence[ReadRow], taken: Opponent) -> tuple[tuple[float, str], ...]:
    """Return when tables of *rows* were shown against other rows than the one *taken*."""
    names = {row.row: row_label(row) for row in rows}
    found = {
        (shown.at, shown.reference)
        for row in rows
        for shown in row.shown
        if shown.reference != taken.spec.row
    }
    return tuple(
        (at, f"{names.get(row, 'another row')} (row {row[:8]})") for at, row in sorted(found)
    )


def _by_rule(
    request: Request, spec: RunSpec, rows: Sequence[ReadRow], catalogue: Catalogue
) -> Opponent:
    own = next((row for row in rows if row.row == spec.row), None) or _unmade(spec)
    others = [row for row in rows if row.row != spec.row]
    # What counts is the table with this row in it, so it is taken to have results.
    table = [_with_results(own), *others]
    found = declared_reference(table, catalogue, (request.problem,))
    if found.row is not None and found.row.row != spec.row:
        return _stored(found.row, found.why, stored=True)
    return _to_train(request, spec, table, catalogue)


def _stored(row: ReadRow, why: str, *, stored: bool) -> Opponent:
    first = RunSpec.from_json(_text(row))
    return Opponent(spec=first, why=why, seeds=tuple(row.runs), stored=stored)


def _table(spec: RunSpec, store: RunStore | None, catalogue: Catalogue) -> list[ReadRow]:
    """Return the rows of the store that stand in one table with *spec*."""
    rows = StoreReader(store).rows() if store is not None else []
    key = comparable(spec.identity)
    alike = (row for row in rows if row.runs and _same_names(row, spec))
    table = [row for row in alike if comparable(row.identity) == key]
    refuse_damaged(with_damaged_settings(table, catalogue))
    return as_known_now(table, catalogue)


def _same_names(row: ReadRow, spec: RunSpec) -> bool:
    return (row.problem, row.protocol) == (spec.problem.name, spec.protocol.name)


def _unmade(spec: RunSpec) -> ReadRow:
    return ReadRow(
        row=spec.row,
        problem=spec.problem.name,
        norm=spec.norm.name,
        norm_label=spec.norm_label,
        optimizer=spec.optimizer.name,
        setting=spec.identity["optimizer"]["parameters"],
        setting_origin=spec.setting_origin,
        protocol=spec.protocol.name,
        deviations=spec.deviations,
        text=spec.to_json(),
        runs={},
    )


def _with_results(row: ReadRow) -> ReadRow:
    return replace(row, runs={**row.runs, 0: ReadRun(row.row, RunState.FINISHED, 0.0)})


def _text(row: ReadRow) -> str:
    return row.text.decode() if isinstance(row.text, bytes) else row.text


def _to_train(
    request: Request, spec: RunSpec, table: Sequence[ReadRow], catalogue: Catalogue
) -> Opponent:
    """Return the reference that the *table* lacks."""
    default = resolve(_reference_request(request), catalogue)[0]
    label = f"{base_problem(request.problem, catalogue)} {default.norm_label} with"
    words = f"{label} {default.optimizer_label}"
    if default.row == spec.row:
        raise UsageError(
            f"{words} is what the other rows of its table are compared with, so there is nothing "
            "to decide. Train it without --until-decided, or decide another row."
        )
    if different := mixture(comparable(default.identity), comparable(spec.identity)):
        raise UsageError(
            f"{words} is to be compared with, but would stand in another table: it differs in "
            f"{', '.join(different)}. Leave those words out, or train a reference beforehand."
        )
    there = next((row for row in table if row.row == default.row), None)
    others = [row for row in table if row.row != default.row]
    stands = _with_results(there or as_known_now([_unmade(default)], catalogue)[0])
    found = declared_reference([*others, stands], catalogue, (request.problem,))
    if found.row is None or found.row.row != default.row:
        raise UsageError(
            f"{words} is to be compared with, but would not be what its table is compared with: "
            f"{found.why}."
        )
    return Opponent(spec=default, why=found.why, seeds=tuple(there.runs) if there else ())


def _reference_request(request: Request) -> Request:
    """Return the request for the default norm with momentum under the same rules."""
    overrides = read_overrides(request.config, request.words)
    words = [
        f"{section}.{name}={typed(value)}"
        for section in _SHARED
        for name, value in overrides.sections[section].items()
    ]
    return Request(
        problem=request.problem,
        optimizer=REFERENCE_OPTIMIZERS[0],
        protocol=request.protocol or overrides.options.get("protocol"),
        words=words,
    )
