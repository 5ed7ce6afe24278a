"""What a look at declared stages came to, written once: ``stages/ROW.decision.json``.

A table is computed anew whenever it is asked for, and rows that join it make every Holm-corrected p
larger. What was decided at a declared look is a fact of that day and is kept beside the
declaration.

Why both are shown, and neither replaces the other: the p of a declared look holds at whichever
stage one stops, and Holm's correction over the rows that were there makes the probability of any
false ``better`` in *that* table alpha at most; nothing that is trained later changes what was
claimed then. It bounds the claims of one table, not those of all tables ever made: where rows are
decided one after another, each against a larger family, their recorded decisions together are
false more often than alpha. Only the table of today bounds all of its rows together, so its
verdicts are computed over today's family, and a recorded decision never becomes one of them. The
first decision stands: whoever could look again until the family is small would choose the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import normbench
from normbench.errors import DamagedFileError, StoreError
from normbench.store.fields import (
    count_in,
    ends_in,
    flag_in,
    moment_in,
    number_in,
    text_in,
    texts_in,
)
from normbench.store.files import explained, open_folder, read_versioned, to_json, write_once
from normbench.store.layout import FINGERPRINT, STAGES_FOLDER, list_names

SCHEMA = 1
DECISION_ENDING = ".decision.json"
VERDICTS = (
    *("better", "worse", "equivalent", "no evidence", "exploratory", "too few", "unstable"),
    "deterministic",
)
_ADVICE = "Restore it from a backup: without it, nobody knows what was decided."


@dataclass(frozen=True, kw_only=True)
class RecordedDecision:
    """The last look at a staged row, as it was then.

    Attributes:
        reference: Fingerprint of the row that it was compared with.
        stage: Seeds of the row at that look.
        verdict: The word.
        p: Holm's p of the side that the difference is on; of ``equivalent`` the p of that; None if
            there was none.
        n: Pairs that counted.
        difference: Mean paired difference, in the metric's unit.
        interval: Its 95 % t interval; None where differences do not vary.
        family: Fingerprints of the rows that Holm's correction was over, with this one.
        metric: What rows are judged by.
        alpha: Probability of any false claim of a family.
        decided_at: When, in Unix seconds.
        reference_declared: Whether a declaration of the reference was there as well, so that it is
            noticed if that is lost.
    """

    reference: str
    stage: int
    verdict: str
    p: float | None
    n: int
    difference: float
    interval: tuple[float, float] | None
    family: tuple[str, ...]
    metric: str
    alpha: float
    decided_at: float
    reference_declared: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        interval = None if self.interval is None else list(self.interval)
        return {**asdict(self), "interval": interval, "family": list(self.family)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RecordedDecision:
        """Read what :meth:`to_dict` returns.

        Raises:
            ValueError: If it is something else.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"a decision is {content!r:.80}, expected a mapping")  # noqa: TRY004
        found = cls(
            reference=text_in(content, "reference"),
            stage=count_in(content, "stage"),
            verdict=text_in(content, "verdict"),
            p=None if content.get("p", 0) is None else number_in(content, "p", 0.0, 1.0),
            n=count_in(content, "n"),
            difference=number_in(content, "difference"),
            interval=ends_in(content, "interval"),
            family=texts_in(content, "family"),
            metric=text_in(content, "metric"),
            alpha=number_in(content, "alpha", 0.0, 1.0),
            decided_at=moment_in(content, "decided_at"),
            reference_declared=flag_in(content, "reference_declared", default=False),
        )
        if found.verdict not in VERDICTS:
            raise ValueError(f"verdict is {found.verdict!r:.80}, expected {', '.join(VERDICTS)}")
        return found


def record_decision(root: Path, row: str, decision: RecordedDecision) -> RecordedDecision:
    """Write the *decision* about a *row* unless there is one; return the one that stands.

    Raises:
        StoreError: If it cannot be written, or the one that is there is damaged.
    """
    path = decision_path(root, row)
    content = {"schema": SCHEMA, "written_by": normbench.__version__, "row": row}
    with explained("write", path):
        path.parent.mkdir(exist_ok=True)
        with open_folder(path.parent) as folder:
            write_once(path.name, to_json({**content, **decision.to_dict()}), folder=folder)
    return read_decision(root, row) or decision


def read_decision(root: Path, row: str) -> RecordedDecision | None:
    """Return what was decided about a *row*, or None.

    Raises:
        StoreError: If it is damaged or cannot be read, or a newer normbench wrote it.
    """
    path = decision_path(root, row)
    content = read_versioned(path, SCHEMA, _ADVICE)
    if content is None:
        return None
    try:
        of, found = text_in(content, "row", row), RecordedDecision.from_dict(content)
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged ({error}). {_ADVICE}", path) from error
    if of != row:
        raise DamagedFileError(
            f"{path} tells what was decided about row {of[:80]}. {_ADVICE}", path
        )
    return found


def references_told(root: Path) -> dict[str, str]:
    """Return the references whose declarations were there at a decision, with its file's name."""
    found: dict[str, str] = {}
    for name in list_names(root / STAGES_FOLDER):
        row = name.removesuffix(DECISION_ENDING)
        if row == name or not FINGERPRINT.fullmatch(row):
            continue
        # Whatever is wrong with that file is said where its own row is read.
        with suppress(StoreError):
            decision = read_decision(root, row)
            if decision is not None and decision.reference_declared:
                found.setdefault(decision.reference, name)
    return {row: name for row, name in found.items() if FINGERPRINT.fullmatch(row)}


def decision_path(root: Path, row: str) -> Path:
    """Return the file of what was decided about a *row*."""
    return root / STAGES_FOLDER / f"{row}{DECISION_ENDING}"
