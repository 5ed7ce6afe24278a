"""What tables show of a row, so that nobody reads the spec of every run for it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normbench.comparable import comparable
from normbench.parameters import Value
from normbench.specs import RunSpec

_APART = ("table", "text")
_INDENT = re.compile(rb"\n *")


@dataclass(frozen=True)
class IndexedRow:
    """A cell at a setting, as one spec of it says.

    Specs of one row may differ in what is no part of its identity; then there are several of these.

    Attributes:
        row: Fingerprint of the row.
        cell: Fingerprint of the cell.
        problem: Problem by name.
        norm: Norm by name.
        norm_label: The norm with what was changed of it.
        optimizer: Optimizer by name.
        setting: Hyper-parameters that differ from their defaults.
        setting_origin: Where they come from, see :class:`normbench.specs.RunSpec`.
        protocol: Protocol by name.
        deviations: Words that changed it.
        metric: What scores are.
        direction: ``max`` or ``min``, whichever is better.
        epochs: Epochs to train.
        batch_size: Examples in a batch.
        tuning: Whether its seeds are kept for tuning: the row is a trial.
        table: What rows of one table share, see :func:`normbench.comparable.comparable`.
        text: The whole spec as JSON, with the first seed of its kind.
    """

    row: str
    cell: str
    problem: str
    norm: str
    norm_label: str
    optimizer: str
    setting: dict[str, Value]
    setting_origin: str
    protocol: str
    deviations: tuple[str, ...]
    metric: str
    direction: str
    epochs: int
    batch_size: int
    tuning: bool
    table: str
    text: bytes

    @cached_property
    def spec(self) -> RunSpec:
        """The whole spec, with the first seed of its kind."""
        return RunSpec.from_json(self.text.decode())

    @classmethod
    def of(cls, text: bytes) -> IndexedRow:
        """Return what the spec in JSON *text* says of its row.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: If it is not the spec of a run.
        """
        return cls.of_spec(RunSpec.from_content(json.loads(text)), text)

    @classmethod
    def of_spec(cls, spec: RunSpec, text: bytes) -> IndexedRow:
        """Return what *spec*, which is *text* as JSON, says of its row."""
        return cls(
            row=spec.row,
            cell=spec.cell,
            problem=spec.problem.name,
            norm=spec.norm.name,
            norm_label=spec.norm_label,
            optimizer=spec.optimizer.name,
            setting=dict(spec.identity["optimizer"]["parameters"]),
            setting_origin=spec.setting_origin,
            protocol=spec.protocol.name,
            deviations=spec.deviations,
            metric=spec.problem.metric.name,
            direction=spec.problem.metric.direction,
            epochs=spec.epochs,
            batch_size=spec.problem.training.batch_size,
            tuning=spec.tuning,
            table=comparable(spec.identity),
            # In JSON a line ends only between values.
            text=_INDENT.sub(b"", text),
        )

    @classmethod
    def from_json(cls, content: dict[str, Any], table: str, text: bytes) -> IndexedRow:
        """Read what :meth:`to_json` returned; *table* and *text* stand apart from it."""
        content["deviations"] = tuple(content["deviations"])
        return cls(**content, table=table, text=text)

    def is_current(self) -> bool:
        """Whether this version says of the spec what is said here."""
        return self == self.of(self.text)

    def to_json(self) -> dict[str, Any]:
        """Return the fields but table and text as strict JSON values."""
        fields = {**vars(self)}
        return {name: fields[name] for name in self.__dataclass_fields__ if name not in _APART}
