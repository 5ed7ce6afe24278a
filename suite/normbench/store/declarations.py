"""Declared stages: how many seeds a row gets before each look, and what it is compared with.

A declaration is a file of its own, ``stages/ROW.json``, written before the first look. Once it is
there it stands: whoever changed stages or reference after looking could look until chance says yes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import normbench
from normbench.errors import DamagedFileError, StoreError
from normbench.store.decisions import (
    DECISION_ENDING,
    RecordedDecision,
    decision_path,
    read_decision,
    references_told,
)
from normbench.store.fields import counts_in, flag_in, moment_in, text_in
from normbench.store.files import explained, open_folder, read_versioned, to_json, write_once
from normbench.store.layout import FINGERPRINT, STAGES_FOLDER, list_names

SCHEMA = 1
_ENDING = ".json"
_LEAST_STAGE = 2
_ADVICE = (
    "Restore it from a backup: without it, nobody knows which looks at the row were declared, and "
    "its seeds cannot be tested."
)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The stages of one row.

    Attributes:
        row: Fingerprint of the row.
        stages: Numbers of seeds at which it may be looked at, growing.
        seeds: The seeds that count, in the order in which they are trained; as many as the last
            stage.
        before: Seeds that had a result when the stages were declared. They may have been looked at,
            so they do not count.
        declared_at: When, in Unix seconds.
        reference_of: Row that this one was given seeds for as its reference; empty if the stages
            were asked for.
        late: Whether seeds that count had results in this store before the declaration came along
            from another one.
        reference: Row that this one is compared with, whatever the reference of its table becomes;
            empty where that is not declared.
        decision: What the last look came to, kept in a file of its own; None before it.
    """

    row: str
    stages: tuple[int, ...]
    seeds: tuple[int, ...]
    before: tuple[int, ...] = ()
    declared_at: float = 0.0
    reference_of: str = ""
    late: bool = False
    reference: str = ""
    decision: RecordedDecision | None = None

    @property
    def own(self) -> bool:
        """Whether the row itself was looked at in these stages.

        What it got as the reference of another row was not chosen by its own looks. An older
        normbench also looked at such a row in the stages that it was given: then there is a
        decision.
        """
        return not self.reference_of or self.decision is not None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as values of JSON."""
        return {
            "schema": SCHEMA,
            "written_by": normbench.__version__,
            "row": self.row,
            "stages": list(self.stages),
            "seeds": list(self.seeds),
            "before": list(self.before),
            "declared_at": self.declared_at,
            "reference_of": self.reference_of,
            "late": self.late,
            "reference": self.reference,
            **({"decision": self.decision.to_dict()} if self.decision else {}),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Declaration:
        """Read what :meth:`to_dict` returns.

        Raises:
            ValueError: If it is something else.
        """
        found = cls(
            row=text_in(content, "row"),
            stages=counts_in(content, "stages", _LEAST_STAGE),
            seeds=counts_in(content, "seeds"),
            before=counts_in(content, "before"),
            declared_at=moment_in(content, "declared_at"),
            reference_of=text_in(content, "reference_of", ""),
            late=flag_in(content, "late", default=False),
            reference=text_in(content, "reference", ""),
            decision=_decision(content.get("decision")),
        )
        if not found.stages or list(found.stages) != sorted(set(found.stages)):
            raise ValueError(f"stages {list(found.stages)} do not grow")
        if len(set(found.seeds)) != found.stages[-1] or len(found.seeds) != found.stages[-1]:
            raise ValueError(f"{len(found.seeds)} seeds for {found.stages[-1]} in the last stage")
        if both := sorted(set(found.seeds) & set(found.before)):
            raise ValueError(f"seeds {both[:5]} count although they were there before")
        return found


def declare(root: Path, declaration: Declaration) -> Declaration:
    """Write *declaration* unless the row has one; return the one that stands.

    Of several processes that declare at once, one succeeds, and all get what it wrote.

    Raises:
        StoreError: If it cannot be written, or the one that is there is damaged, or was there.
    """
    if (there := read_declaration(root, declaration.row)) is not None:
        return there
    path = _path(root, declaration.row)
    with explained("write", path):
        path.parent.mkdir(exist_ok=True)
        with open_folder(path.parent) as folder:
            content = replace(declaration, decision=None).to_dict()
            write_once(path.name, to_json(content), folder=folder)
    return read_declaration(root, declaration.row) or declaration


def read_declaration(root: Path, row: str) -> Declaration | None:
    """Return the declaration of a *row*, or None.

    Raises:
        StoreError: If it is damaged or cannot be read, a newer normbench wrote it, or it is gone
            although something was decided about the row.
    """
    path = _path(root, row)
    content = read_versioned(path, SCHEMA, _ADVICE)
    if content is None and (beside := _told_by(root, row)):
        # Both may have come between the two looks.
        content = read_versioned(path, SCHEMA, _ADVICE)
        if content is None:
            raise DamagedFileError(f"{path} is missing, and {beside}. {_ADVICE}", path)
    if content is None:
        return None
    try:
        found = Declaration.from_dict(content)
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged ({error}). {_ADVICE}", path) from error
    if found.row != row:
        raise DamagedFileError(
            f"{path} declares the stages of row {found.row[:80]}. {_ADVICE}", path
        )
    return replace(found, decision=read_decision(root, row))


def read_declarations(root: Path) -> dict[str, Declaration]:
    """Return all declarations of the store in the folder *root*, by row.

    Raises:
        StoreError: If one is damaged or cannot be read.
    """
    found = (read_declaration(root, row) for row in sorted(_declared(root)))
    return {each.row: each for each in found if each is not None}


def readable_declarations(root: Path) -> tuple[dict[str, Declaration], dict[str, StoreError]]:
    """Return the declarations of a store, and why others cannot be read, both by row."""
    found: dict[str, Declaration] = {}
    damaged: dict[str, StoreError] = {}
    for row in sorted(_declared(root)):
        try:
            if (each := read_declaration(root, row)) is not None:
                found[row] = each
        except StoreError as error:
            damaged[row] = error
    return found, damaged


def _told_by(root: Path, row: str) -> str:
    """Return which file beside a declaration tells that it was there, if any does."""
    own = decision_path(root, row)
    if own.exists():
        return f"{own.name} beside it tells what the looks that it declared came to"
    if name := references_told(root).get(row):
        return f"{name} beside it tells of another row that was compared with it then"
    return ""


def _declared(root: Path) -> Iterable[str]:
    """Return the rows that a file tells of, be it what was decided alone."""
    names = list_names(root / STAGES_FOLDER)
    rows = {name.removesuffix(DECISION_ENDING).removesuffix(_ENDING) for name in names}
    return {*(row for row in rows if FINGERPRINT.fullmatch(row)), *references_told(root)}


def _decision(content: dict[str, Any] | None) -> RecordedDecision | None:
    return None if content is None else RecordedDecision.from_dict(content)


def _path(root: Path, row: str) -> Path:
    return root / STAGES_FOLDER / f"{row}{_ENDING}"
