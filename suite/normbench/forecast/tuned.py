"""Finished trials of a store's studies: what they took, the other runs of their cells will take."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from normbench.errors import StoreError, what_is_wrong
from normbench.forecast.standing import Standing, glanced
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore
from normbench.store.files import read_json
from normbench.store.layout import TUNING_FOLDER
from normbench.store.untaken import damaged_record

_log = logging.getLogger(__name__)


class FinishedTrials:
    """The finished trials that the studies of a store name; its index is not needed for them.

    Args:
        store: The store; None if there is none.
        most: How many of each study are looked up.
    """

    def __init__(self, store: RunStore | None, most: int = 5) -> None:
        self._store, self._most = store, most
        self._read: dict[str, list[Standing]] = {}

    def of(self, spec: RunSpec) -> list[Standing]:
        """Return finished trials of the cell of *spec*, at whatever setting."""
        names = (spec.problem.name, spec.optimizer.name, spec.protocol.name)
        found = [
            trial
            for content in self._records
            if names == tuple(content[part] for part in ("problem", "optimizer", "protocol"))
            for trial in self._of_study(content)
        ]
        return [trial for trial in found if trial.spec.cell == spec.cell]

    @cached_property
    def _records(self) -> list[Mapping[str, Any]]:
        """The studies; of one that cannot be read the plan says so, and goes without it."""
        root = self._store.root if self._store is not None else Path()
        paths = sorted((root / TUNING_FOLDER).glob("*.json")) if self._store is not None else ()
        found: list[Mapping[str, Any]] = []
        for path in paths:
            try:
                found.append(_read(path))
            except StoreError as error:
                _log.warning("its trials are left out of the plan: %s", error)
        return found

    def _of_study(self, content: Mapping[str, Any]) -> list[Standing]:
        if content["id"] not in self._read:
            self._read[content["id"]] = self._finished(content)
        return self._read[content["id"]]

    def _finished(self, content: Mapping[str, Any]) -> list[Standing]:
        found: list[Standing] = []
        for name in content["members"]:
            run = self._store.get(name) if self._store is not None else None
            if run is not None and run.state() is RunState.FINISHED:
                found.append(glanced(run.spec, run))
            if len(found) == self._most:
                break
        return found


def _read(path: Path) -> dict[str, Any]:
    """Return the names of a study's cell and, as ``members``, its runs.

    Raises:
        StoreError: If the record cannot be read.
    """
    content = read_json(path) or {}
    try:
        names = {part: content[part] for part in ("problem", "optimizer", "protocol")}
        entries = [content["default"], *content["trials"]]
        members = [run for each in entries for run in each["runs"].values()]
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged_record(path, what_is_wrong(error)) from error
    return {**names, "id": path.stem, "members": members}
