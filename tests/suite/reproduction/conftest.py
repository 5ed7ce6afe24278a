"""Suites as they are asked for, and rows of them as a store would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from normbench.leaderboard.reading import ReadRow, ReadRun
from normbench.plugins import Catalogue, load_catalogue
from normbench.reproduction.asked import Asked
from normbench.reproduction.document import Document
from normbench.reproduction.making import Input, make_document
from normbench.resolve import resolve
from normbench.specs import RunSpec
from normbench.store import RunState, Verification
from normbench.suites import expand, find_suite

ENVIRONMENT = {
    "versions": {"python": "3.12.1", "torch": "2.15.0"},
    "hardware": {"device": "one device", "processor": "one processor", "cores": 2},
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "host": "a-secret-host",
    "command": ["/home/somebody/normbench"],
}
RESULT = {"train_seconds": 60.0, "evaluation_seconds": 6.0, "finished_at": 1.7e9, "shared": False}
RESULT |= {"energy_joules": 1250.0}
Score = Callable[[RunSpec], float | None]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue().without_settings()


@dataclass
class Rows:
    """A reader of rows that are given; every run was trained in one place."""

    given: Sequence[ReadRow]
    results_of: Mapping[str, Any] = field(default_factory=lambda: {"outcome": "finished", **RESULT})
    place: str = "rows"
    option: str = ""

    def rows(self) -> Sequence[ReadRow]:
        return self.given

    def results(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return dict.fromkeys(fingerprints, self.results_of)

    def unplaced(self) -> list[str]:
        """Return no damaged run."""
        return []

    def verifications(self) -> list[Verification]:
        """Return no test of a precision."""
        return []

    def environments(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return dict.fromkeys(fingerprints, ENVIRONMENT)


@pytest.fixture
def specs_of(catalogue):
    """Return a function that gives the specs of each cell of a suite."""

    def specs(suite: str, *words: str) -> list[list[RunSpec]]:
        plan = expand(find_suite(suite, catalogue), catalogue, words)
        return [resolve(request, catalogue) for request in plan.requests]

    return specs


@pytest.fixture
def stored() -> Callable[..., ReadRow]:
    """Return a function that makes a row of scores by spec; a run with None for one failed."""

    def make(specs: Sequence[RunSpec], score: Score, *, diverged: Sequence[int] = ()) -> ReadRow:
        runs = {}
        for spec in specs:
            value = score(spec)
            state = RunState.FAILED if value is None else RunState.FINISHED
            if spec.seed in diverged:
                state, value = RunState.DIVERGED, spec.problem.metric.worst
            runs[spec.seed] = ReadRun(spec.fingerprint, state, value, 60.0)
        spec = specs[0]
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
            runs=runs,
        )

    return make


@pytest.fixture
def report(catalogue):
    """Return a function that makes the report of a suite on rows that are given."""

    def make(suite: str, rows: Sequence[ReadRow] = (), **asked: Any) -> Document:
        plan = expand(find_suite(suite, catalogue), catalogue, asked.get("words", ()))
        reader = Rows(rows) if rows else None
        words = Asked(suite=suite, **asked)
        return make_document(
            Input(plan=plan, catalogue=catalogue, reader=reader, store=None, asked=words)
        )

    return make
