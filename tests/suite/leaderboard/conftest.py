"""Rows as a store would give them, without a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from normbench.descriptions import Metric
from normbench.leaderboard.reading import ReadRow, ReadRun
from normbench.plugins import Catalogue, load_catalogue
from normbench.store import RunState, Verification

ACCURACY = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.005)
LOSS = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.01)
RULES = {"select": "final", "validation_driven_by": "seed", "validation_share": 0.1}
MakeRow = Callable[..., ReadRow]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@dataclass
class Rows:
    """A reader of rows that are given."""

    given: Sequence[ReadRow]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    place: str = "rows"
    option: str = ""

    def rows(self) -> Sequence[ReadRow]:
        return self.given

    def results(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return {name: self.details[name] for name in fingerprints if name in self.details}

    def unplaced(self) -> list[str]:
        """Return no damaged run."""
        return []

    def verifications(self) -> list[Verification]:
        """Return no test of a precision."""
        return []

    def environments(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return {name: self.machines[name] for name in fingerprints if name in self.machines}


@pytest.fixture
def reader() -> type[Rows]:
    return Rows


@pytest.fixture
def make_row() -> MakeRow:
    """Return a function that makes a row."""
    return made_row


def made_row(
    norm: str = "none",
    optimizer: str = "momentum",
    scores: Sequence[float] | Mapping[int, float] = (),
    *,
    problem: str = "digits_cnn",
    diverged: Sequence[int] = (),
    missing: Sequence[int] = (),
    metric: Metric = ACCURACY,
    origin: str = "default",
    setting: Mapping[str, Any] | None = None,
    version: int = 1,
    precision: str = "tf32",
    tuning: int = 0,
) -> ReadRow:
    """Return a row of digits_cnn with scores by seed."""
    setting = setting or {}
    values = dict(scores if isinstance(scores, Mapping) else enumerate(scores))
    name = f"{problem}{norm}{optimizer}{setting}{version}{precision}".encode().hex()
    row = f"{hash_of(name):032x}"
    runs = {
        seed: ReadRun(
            f"{row}{seed}",
            RunState.DIVERGED if seed in diverged else RunState.FINISHED,
            metric.worst if seed in diverged else value,
            1.0,
        )
        for seed, value in values.items()
    }
    runs |= {seed: ReadRun(f"{row}{seed}", RunState.FAILED) for seed in missing}
    protocol = {"name": "standard", "version": version, "precision": precision, "rules": {}}
    return ReadRow(
        row=row,
        problem=problem,
        norm=norm,
        norm_label=norm,
        optimizer=optimizer,
        setting=setting,
        setting_origin=origin,
        protocol="standard",
        deviations=(),
        text=json.dumps(
            {
                "identity": {
                    "problem": {"name": problem},
                    "norm": {"name": norm, "parameters": {}},
                    "optimizer": {"name": optimizer, "parameters": setting},
                    "protocol": protocol,
                    "ablation": {},
                },
                "problem": {"metric": asdict(metric)},
                "protocol": {"rules": RULES},
            }
        ),
        runs=dict(sorted(runs.items())),
        tuning=tuning,
    )


def hash_of(text: str) -> int:
    """Return a number that depends on *text* alone."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)
