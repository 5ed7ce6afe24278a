"""The rows of a suite as it is asked for, and what a store has of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normbench.leaderboard.reading import SCORED, Reader, ReadRow
from normbench.leaderboard.suites import SuiteRows
from normbench.plugins import Catalogue
from normbench.resolve import request_label, resolve
from normbench.specs import RunSpec
from normbench.store import RunState, Verification
from normbench.suites import Plan

FAILED = (RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.TIMED_OUT, RunState.KILLED)


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A row of a suite.

    Attributes:
        label: The words that ask for it.
        spec: A spec of it.
        seeds: Seeds that the suite asks for.
        row: What the store has of it; None if nothing.
    """

    label: str
    spec: RunSpec
    seeds: tuple[int, ...]
    row: ReadRow | None = None

    @property
    def states(self) -> dict[int, RunState | None]:
        """How the run of each seed stands; None if the store does not have it."""
        runs = self.row.runs if self.row else {}
        return {seed: runs[seed].state if seed in runs else None for seed in self.seeds}

    @property
    def done(self) -> tuple[int, ...]:
        """Seeds that have a result."""
        return tuple(seed for seed, state in self.states.items() if state in SCORED)

    @property
    def more(self) -> tuple[int, ...]:
        """Seeds with a result that the suite does not ask for."""
        scores = self.row.scores if self.row else {}
        return tuple(seed for seed in scores if seed not in self.seeds)

    @property
    def complete(self) -> bool:
        """Whether every seed has a result."""
        return len(self.done) == len(self.seeds)

    def count(self, states: Sequence[RunState | None]) -> int:
        """Return how many seeds are in one of *states*."""
        found = Counter(self.states.values())
        return sum(found[state] for state in states)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """All rows of a suite, in its order.

    Attributes:
        rows: The rows.
        references: Fingerprints of the rows that it declares to compare with.
    """

    rows: tuple[PlannedRow, ...]
    references: frozenset[str]

    @property
    def trained(self) -> list[ReadRow]:
        """What the store has of them."""
        return [each.row for each in self.rows if each.row is not None]

    @property
    def with_results(self) -> list[ReadRow]:
        """Those of them that have a result."""
        return [row for row in self.trained if row.scores]

    def suite_rows(self, name: str, words: Sequence[str]) -> SuiteRows:
        """Return which rows the suite's tables are made of."""
        rows = frozenset(each.spec.row for each in self.rows)
        own = tuple(words)
        return SuiteRows(name=name, rows=rows, references=self.references, words=own)


def planned(plan: Plan, catalogue: Catalogue, stored: Iterable[ReadRow]) -> Planned:
    """Return the rows of *plan* with what is *stored* of them; cells that mean one row are one.

    Raises:
        UsageError: If a cell cannot be resolved.
    """
    known = {row.row: row for row in stored}
    specs: dict[str, dict[int, RunSpec]] = {}
    labels: dict[str, str] = {}
    for request in plan.requests:
        for spec in resolve(request, catalogue):
            labels.setdefault(spec.row, request_label(request))
            specs.setdefault(spec.row, {})[spec.seed] = spec
    rows = tuple(
        PlannedRow(
            label=labels[row],
            spec=next(iter(by_seed.values())),
            seeds=tuple(sorted(by_seed)),
            row=known.get(row),
        )
        for row, by_seed in specs.items()
    )
    references = (resolve(request, catalogue)[0].row for request in plan.references)
    return Planned(rows=rows, references=frozenset(references))


@dataclass(frozen=True)
class Held:
    """A reader of some of another's rows, which are read once.

    Attributes:
        reader: Where results and environments are read.
        held: The rows.
    """

    reader: Reader
    held: Sequence[ReadRow]

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""
        return self.reader.place

    @property
    def option(self) -> str:
        """What names the store to commands."""
        return self.reader.option

    def rows(self) -> Sequence[ReadRow]:
        """Return the rows held."""
        return self.held

    def results(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, object]]:
        """Return the results of runs, by fingerprint."""
        return self.reader.results(fingerprints)

    def environments(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, object]]:
        """Return where runs were trained, by fingerprint."""
        return self.reader.environments(fingerprints)

    def unplaced(self) -> Sequence[str]:
        """Return the damaged runs of which it is not known to which row they belong."""
        return self.reader.unplaced()

    def verifications(self) -> Sequence[Verification] | None:
        """Return the tests of a precision; None if they are not known."""
        return self.reader.verifications()


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Rows of a suite's cells under other rules or settings than those asked for.

    Attributes:
        words: Words that they have and the rows asked for do not.
        without: Words that the rows asked for have and they do not; with neither of the two, it is
            the setting that differs.
        rows: How many there are.
        results: Runs of them with a result.
    """

    words: tuple[str, ...]
    without: tuple[str, ...]
    rows: int
    results: int


def changed_rows(found: Planned, stored: Iterable[ReadRow]) -> list[Changed]:
    """Return the rows of the suite's cells that were not asked for, by what is changed.

    A cell is a problem, norm, ablation, optimizer and protocol here.
    """
    own = {each.spec.row for each in found.rows}
    cells: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for each in found.rows:
        cells.setdefault(_cell_of(each.spec), []).append(each.spec.deviations)
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[ReadRow]] = {}
    for row in stored:
        asked = cells.get((row.problem, row.norm_label, row.optimizer, row.protocol))
        if asked is None or row.row in own or not row.scores:
            continue
        groups.setdefault(_nearest(row.deviations, asked), []).append(row)
    return [
        Changed(
            words=words,
            without=without,
            rows=len(rows),
            results=sum(len(row.scores) for row in rows),
        )
        for (words, without), rows in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _nearest(
    words: tuple[str, ...], asked: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which *words* are more, and which less, than those asked for that are most alike."""
    differences = (
        (
            tuple(word for word in words if word not in each),
            tuple(word for word in each if word not in words),
        )
        for each in asked
    )
    return min(differences, key=lambda pair: len(pair[0]) + len(pair[1]))


def _cell_of(spec: RunSpec) -> tuple[str, ...]:
    return spec.problem.name, spec.norm_label, spec.optimizer.name, spec.protocol.name
