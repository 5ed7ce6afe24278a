"""What the index keeps of the runs whose fingerprints begin with one digit.

Names and stamps are at hand, since each look compares them with the folders. The rest is read from
its bytes when somebody asks for it.
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
    """What is kept of some runs.

    Args:
        names: Their fingerprints, sorted.
        stamps: When the folders of each changed: a sequence for each field of :class:`Stamps`.
        columns: What is known of each run, as JSON; empty if there are no runs.
        results: What is kept of their results but for the numbers, as JSON.
        numbers: The numbers of their results.
        watched: See :class:`Kept`, by fingerprint, of those where there is something.
        digest: What tells this content from any other, whatever the stamps.
    """

    def __init__(
        self,
        names: list[str],
        stamps: Sequence[Sequence[int]],
        columns: bytes,
        results: bytes,
        numbers: bytes,
        watched: Mapping[str, Mapping[str, int]],
        digest: str,
    ) -> None:
        self.names, self.stamps, self.digest = names, stamps, digest
        self.watched = watched
        self._columns, self._results, self._numbers = columns, results, numbers

    @classmethod
    def of(cls, kept: Iterable[Kept]) -> Shard:
        """Return a shard of what is *kept* of runs."""
        ordered = sorted(kept, key=attrgetter("run.fingerprint"))
        names = [each.run.fingerprint for each in ordered]
        stamps = [[each.stamps[place] for each in ordered] for place in range(len(Stamps._fields))]
        results, numbers = encode([each.outcome for each in ordered])
        parts = (_encoded([each.run for each in ordered]), index_files.to_json(results), numbers)
        content = b"".join((*map(str.encode, names), *parts))
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        watched = {each.run.fingerprint: each.watched for each in ordered if each.watched}
        return cls(names, stamps, *parts, watched, digest)

    @classmethod
    def read(cls, folder: Path, digit: str) -> Shard:
        """Return what the index in *folder* has; an empty shard if it is missing or damaged."""
        try:
            head, parts = index_files.read_parts(index_files.shard_file(folder, digit))
            packed, columns, results, numbers, watched, *stamps = parts
            joined = packed.hex()
            names = [joined[i : i + 32] for i in range(0, len(joined), 2 * _NAME_BYTES)]
            found = [index_files.numbers("q", data).tolist() for data in stamps]
            sound = {len(names)} == set(map(len, found)) and len(found) == len(Stamps._fields)
            known = columns, results, numbers, json.loads(watched), str(head["digest"])
            return cls(names, found, *known) if sound else EMPTY
        except (KeyError, OSError, TypeError, ValueError):
            return EMPTY

    def write(self, folder: Path, digit: str) -> None:
        """Replace what the index in *folder* has.

        Raises:
            OSError: If it cannot be written.
        """
        packed = bytes.fromhex("".join(self.names))
        stamps = [array("q", column).tobytes() for column in self.stamps]
        watched = index_files.to_json(self.watched)
        parts = [packed, self._columns, self._results, self._numbers, watched, *stamps]
        data = index_files.pack({"digest": self.digest}, parts)
        index_files.write_file(index_files.shard_file(folder, digit), data)

    def span(self, bucket: str) -> slice:
        """Return where the runs are whose fingerprints begin with *bucket*."""
        start = bisect_left(self.names, bucket)
        return slice(start, bisect_left(self.names, f"{bucket}g", start))

    @cached_property
    def runs(self) -> list[IndexedRun]:
        """What is known of each run, in the order of their names."""
        content, size = self._content, len(self.names)
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
        return Outcomes(json.loads(self._results), self._numbers, len(self.names))

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


EMPTY = Shard([], ([], [], []), b"", b"", b"", {}, "")


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
