"""What the index keeps of the runs whose fingerprints begin with one digit.

It is kept as the bytes of its file: most commands use little of it.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from normbench.store import index_files
from normbench.store.folders import RunState
from normbench.store.index_results import Outcome, Outcomes, encode, loose, squeezed
from normbench.store.index_stamps import Stamps, changed
from normbench.store.indexed_run import IndexedRun

_STATES = {state.value: state for state in RunState}
# Columns that are as they are in IndexedRun, after its state.
_PLAIN = ("score", "seconds", "epoch", "attempts", "strikes", "message", "lacking", "cancelled")
_NAME_BYTES = 16
_STAMP_BYTES = 8


class Kept(NamedTuple):
    """What is kept of a run.

    Attributes:
        run: What is known of it.
        stamps: What that rests on.
        outcome: What tables use of its result; None without one.
        watched: Of attempts whose worker fell silent and might wake: when what it would touch last
            changed, by path in the folder of the run.
    """

    run: IndexedRun
    stamps: Stamps
    outcome: Outcome | None
    watched: Mapping[str, int]

    def holds(self, folder: str) -> bool:
        """Whether the run in *folder* is as it was."""
        return self.stamps.hold(folder) and unchanged(folder, self.watched)


class Shard:
    """What is kept of some runs, read from its bytes when somebody asks for it.

    Args:
        parts: Their fingerprints; what is known of them, as JSON; what is kept of their results but
            for the numbers, as JSON; these numbers; what is watched, as JSON; and when the folders
            of each changed, for each field of :class:`Stamps`. All empty if there are no runs.
        digest: What tells this content from any other, whatever the stamps.
    """

    def __init__(self, parts: Sequence[bytes], digest: str) -> None:
        self._packed, self._columns, self._results, self._numbers, self._watched, *stamps = parts
        self._stamps, self.digest = stamps, digest

    @classmethod
    def of(cls, kept: Iterable[Kept]) -> Shard:
        """Return a shard of what is *kept* of runs."""
        ordered = sorted(kept, key=attrgetter("run.fingerprint"))
        packed = bytes.fromhex("".join(each.run.fingerprint for each in ordered))
        stamps = [
            array("q", [each.stamps[place] for each in ordered]).tobytes()
            for place in range(len(Stamps._fields))
        ]
        results, numbers = encode([each.outcome for each in ordered])
        told = (packed, _encoded([each.run for each in ordered]), index_files.to_json(results))
        digest = hashlib.md5(b"".join((*told, numbers)), usedforsecurity=False).hexdigest()
        watched = {each.run.fingerprint: each.watched for each in ordered if each.watched}
        return cls([*told, numbers, index_files.to_json(watched), *stamps], digest)

    @classmethod
    def read(cls, folder: Path, digit: str) -> Shard:
        """Return what the index in *folder* has; an empty shard if it is missing or damaged."""
        try:
            head, parts = index_files.read_parts(index_files.shard_file(folder, digit))
            packed, _, _, _, _, *stamps = parts
            size = len(packed) // _NAME_BYTES * _STAMP_BYTES
            sound = len(stamps) == len(Stamps._fields) and {size} == set(map(len, stamps))
            return cls(parts, str(head["digest"])) if sound else EMPTY
        except (KeyError, OSError, TypeError, ValueError):
            return EMPTY

    def write(self, folder: Path, digit: str) -> None:
        """Replace what the index in *folder* has.

        Raises:
            OSError: If it cannot be written.
        """
        told = self._packed, self._columns, self._results, self._numbers, self._watched
        data = index_files.pack({"digest": self.digest}, [*told, *self._stamps])
        index_files.write_file(index_files.shard_file(folder, digit), data)

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self._packed) // _NAME_BYTES

    def span(self, bucket: str) -> slice:
        """Return where the runs are whose fingerprints begin with *bucket*."""
        start = bisect_left(self.names, bucket)
        return slice(start, bisect_left(self.names, f"{bucket}g", start))

    @cached_property
    def names(self) -> list[str]:
        """The fingerprints of the runs, sorted."""
        joined, width = self._packed.hex(), 2 * _NAME_BYTES
        return [joined[i : i + width] for i in range(0, len(joined), width)]

    @cached_property
    def stamps(self) -> list[list[int]]:
        """When the folders of each run changed: a list for each field of :class:`Stamps`."""
        return [index_files.numbers("q", data).tolist() for data in self._stamps]

    @cached_property
    def watched(self) -> dict[str, dict[str, int]]:
        """See :class:`Kept`, by fingerprint, of those runs where there is something."""
        found: dict[str, dict[str, int]] = json.loads(self._watched) if self._watched else {}
        return found

    @cached_property
    def runs(self) -> list[IndexedRun]:
        """What is known of each run, in the order of their names."""
        content, size = self._content, len(self)
        if not size:
            return []
        digests, rows = content["descriptions"], content["rows"]
        specs = loose(content["spec"], size)
        columns: list[Iterable[Any]] = [self.names, map(rows.__getitem__, specs)]
        columns += [map(digests.__getitem__, specs), loose(content["seed"], size)]
        columns += [map(_STATES.__getitem__, loose(content["state"], size))]
        columns += [loose(content[name], size) for name in _PLAIN]
        return list(map(IndexedRun._make, zip(*columns, [False] * size, strict=True)))

    @cached_property
    def descriptions(self) -> list[str]:
        """The digests of the specs of the runs."""
        found: list[str] = self._content.get("descriptions", [])
        return found

    @cached_property
    def outcomes(self) -> Outcomes:
        """What is kept of the results, by the place of the run."""
        # Most commands show none of them.
        return Outcomes(json.loads(self._results), self._numbers, len(self))

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each run by its fingerprint."""
        return {name: place for place, name in enumerate(self.names)}

    def kept(self, place: int) -> Kept:
        """Return all that is kept of the run at a *place*."""
        stamps = Stamps(*(column[place] for column in self.stamps))
        watched = self.watched.get(self.names[place], {})
        return Kept(self.runs[place], stamps, self.outcomes[place], watched)

    @cached_property
    def _content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._columns) if self._columns else {}
        return found


EMPTY = Shard([b""] * (5 + len(Stamps._fields)), "")


def unchanged(folder: str, watched: Mapping[str, int]) -> bool:
    """Whether what is *watched* of the run in *folder* is as it was."""
    return all(changed(f"{folder}/{path}") == stamp for path, stamp in watched.items())


def _encoded(runs: Sequence[IndexedRun]) -> bytes:
    digests: dict[str, int] = {}
    rows: dict[str, str] = {}
    for run in runs:
        digests.setdefault(run.description, len(digests))
        rows[run.description] = run.row
    content: dict[str, Any] = {
        "descriptions": list(digests),
        "rows": [rows[digest] for digest in digests],
        "spec": squeezed(digests[run.description] for run in runs),
        "state": squeezed(run.state.value for run in runs),
    }
    for name in ("seed", *_PLAIN):
        content[name] = squeezed(getattr(run, name) for run in runs)
    return index_files.to_json(content)
