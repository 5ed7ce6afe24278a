"""The rows of a leaderboard read from MLflow: the same as from the run stores that fed it.

One request finds some hundred rows with all that their tags carry, see
:mod:`normbench.tracking.entries`; seeds are not asked for. Numbers are those of the stores, digit
for digit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from normbench.errors import StoreError, UsageError
from normbench.leaderboard.reading import ReadRow, ReadRun, read_row
from normbench.store import Declaration, IndexedRow, Outcome
from normbench.tracking import faults, names
from normbench.tracking.backend import connect
from normbench.tracking.entries import Entry, declaration_in, entries_in, shared_text, standing
from normbench.tracking.known_settings import settings_in
from normbench.tracking.shown_tables import shown_in

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

    from normbench.descriptions import Setting

_PAGE = 200
_ROWS_ONLY = f"tags.`{names.KIND}` = '{names.KIND_ROW}'"
_OLD = (
    "{place} holds rows that an older normbench copied, without what a leaderboard needs: {name} "
    "and {count} in all. Bring them up to date from their run store: normbench sync --store DIR. "
    "Tables of other problems can be read meanwhile with --problem."
)
_DAMAGED = (
    "{place} holds what cannot be read: {problem}. If a newer normbench wrote it, upgrade; else "
    "write it anew from the run store: normbench sync --store DIR"
)


@dataclass(frozen=True, slots=True)
class _Told:
    """An entry, and the tags that it stands among."""

    entry: Entry
    tags: Mapping[str, str]

    def spec(self) -> str:
        return shared_text(self.tags, "spec", self.entry.spec)

    def environment(self) -> Mapping[str, Any]:
        text = shared_text(self.tags, "environment", self.entry.environment)
        found: Mapping[str, Any] = json.loads(text)
        return found


class MlflowReader:
    """Reads what ``normbench sync`` copied to MLflow.

    Args:
        uri: Tracking URI.
        problems: Only experiments of these problems, by their base names, are read if there are
            any; empty for all.
        protocols: The same for protocols.
        option: What names a run store here to commands; empty for the default one.
    """

    def __init__(
        self,
        uri: str,
        *,
        problems: Collection[str] = (),
        protocols: Collection[str] = (),
        option: str = "",
    ) -> None:
        self._uri, self._option = uri, option
        self._wanted = {names.PROBLEM: problems, names.PROTOCOL: protocols}
        self._environments: dict[str, Mapping[str, Any]] = {}

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""
        return f"MLflow at {faults.shown(self._uri)}"

    @property
    def option(self) -> str:
        """What names a run store to commands; it need not hold all that MLflow does."""
        return self._option

    def rows(self) -> list[ReadRow]:
        """Return all rows with their runs, in an order that depends on nothing else.

        Raises:
            StoreError: If MLflow cannot be read, or holds what this version cannot read.
            UsageError: If it holds nothing of normbench.
        """
        rows: dict[str, list[_Told]] = {}
        for told, row in self._told.values():
            rows.setdefault(row, []).append(told)
        with self._readable():
            return [_read_row(told) for _, told in sorted(rows.items())]

    def settings(self) -> list[Setting]:
        """Return the known settings that were tuned in the run stores.

        Raises:
            StoreError: If MLflow cannot be read, or holds what this version cannot read.
            UsageError: If it holds nothing of normbench.
        """
        with self._readable():
            return settings_in(experiment.tags for experiment in self._experiments)

    def results(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the results of runs, by fingerprint; those without one are left out.

        Of each there is what a run store gives to tables, and in the same form.
        """
        found = ((name, self._told.get(name)) for name in fingerprints)
        results = ((name, each[0].entry.result if each else None) for name, each in found)
        return {name: Outcome.of(result).result() for name, result in results if result is not None}

    def unplaced(self) -> list[str]:
        """Return none: such runs are not copied."""
        return []

    def verifications(self) -> None:
        """Return None: tests of a precision stay in the run store."""

    def environments(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return where runs were trained, by fingerprint, as far as it is known.

        Raises:
            StoreError: If what MLflow holds is damaged.
        """
        found = ((name, self._told[name][0]) for name in fingerprints if name in self._told)
        with self._readable():
            return {name: self._environment(told) for name, told in found if told.entry.environment}

    def _environment(self, told: _Told) -> Mapping[str, Any]:
        digest = told.entry.environment
        if digest not in self._environments:
            self._environments[digest] = told.environment()
        return self._environments[digest]

    @cached_property
    def _told(self) -> dict[str, tuple[_Told, str]]:
        """What stands of each run, and its row, by fingerprint."""
        standing: dict[str, tuple[_Told, str]] = {}
        old: list[str] = []
        with self._readable():
            for run in self._runs():
                tags: Mapping[str, str] = run.data.tags
                found = [_Told(entry, tags) for entry in entries_in(tags)]
                if not found:
                    old.append(run.info.run_name)
                for told in found:
                    before = standing.get(told.entry.fingerprint)
                    if before is None or told.entry.outlasts(before[0].entry):
                        standing[told.entry.fingerprint] = told, tags[names.ROW]
        if old:
            raise StoreError(_OLD.format(place=self.place, count=len(old), name=old[0]))
        return standing

    def _runs(self) -> Iterator[Run]:
        """Yield the runs of the rows wanted."""
        chosen = [experiment.experiment_id for experiment in self._experiments]
        yield from _paged(
            lambda token: self._client.search_runs(
                chosen, _ROWS_ONLY, max_results=_PAGE, page_token=token
            )
        )

    @cached_property
    def _client(self) -> MlflowClient:
        return connect(self._uri)

    @cached_property
    def _experiments(self) -> list[Experiment]:
        """The experiments wanted; all if none of them is."""
        experiments = list(
            _paged(
                lambda token: self._client.search_experiments(
                    filter_string=f"name LIKE '{names.PREFIX}%'", page_token=token
                )
            )
        )
        if not experiments:
            raise UsageError(
                f"{self.place} holds nothing of normbench. Copy a run store there: "
                "normbench sync --store DIR"
            )
        found = [
            experiment
            for experiment in experiments
            if all(
                not some or experiment.tags.get(tag) in some for tag, some in self._wanted.items()
            )
        ]
        return found or experiments

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what goes wrong in MLflow, and what cannot be read, into one sentence."""
        try:
            yield
        except ValueError as error:
            raise StoreError(_DAMAGED.format(place=self.place, problem=error)) from error
        except faults.known() as error:
            raise StoreError(faults.explain(error, self._uri, reading=True)) from error


def _paged(find: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield what is on all pages."""
    page = find(None)
    while True:
        yield from page
        if not page.token:
            return
        page = find(page.token)


def _read_row(told: Sequence[_Told]) -> ReadRow:
    """Return the row of runs, described as the spec of its lowest seed says."""
    text = min(told, key=lambda each: each.entry.seed).spec()
    try:
        described = IndexedRow.of(text.encode())
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a spec is not one that this version reads ({error})") from error
    entries = [each.entry for each in told]
    runs = {
        each.seed: ReadRun(each.fingerprint, each.state, each.score, each.seconds, each.damaged)
        for each in entries
    }
    tags = {id(each.tags): each.tags for each in told}.values()
    shown = {table for each in tags for table in shown_in(each)}
    return read_row(described, runs, _declaration(told), tuple(sorted(shown)))


def _declaration(told: Sequence[_Told]) -> Declaration | None:
    """Return the earliest declaration of stages.

    A store that knew nothing of it may have trained seeds that count, and others looked at them:
    the declaration is then marked, as it is where stores are merged.
    """
    tags = {id(each.tags): each.tags for each in told}.values()
    found = [each for each in map(declaration_in, tags) if each is not None]
    if not found:
        return None
    first = min(found, key=standing)
    counting = [each.entry for each in told if each.entry.seed in first.seeds]
    late = any(entry.result is not None and not entry.declared for entry in counting)
    return replace(first, late=True) if late else first
