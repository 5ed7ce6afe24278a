"""The specs of a store without their seeds, read when one is asked for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from normbench.errors import StoreError
from normbench.specs import FIRST_TUNING_SEED, RunSpec
from normbench.store import index_files
from normbench.store.files import read_bytes
from normbench.store.folders import SPEC_FILE
from normbench.store.index_files import DIGITS
from normbench.store.index_rows import IndexedRow
from normbench.store.proofs import Proof
from normbench.store.run import read_spec

_SEED = re.compile(rb'\n "seed": (\d+),\n')


class SeedlessSpec(NamedTuple):
    """What the specs of many runs share, as JSON, and a digest of it.

    The seed in it is the first of its kind: 0, or the first that is kept for tuning.
    """

    digest: str
    text: bytes


def read_seedless(path: Path) -> tuple[SeedlessSpec, int]:
    """Return the spec of the run in the folder *path* without its seed, and the seed.

    Raises:
        StoreError: If the spec is missing or damaged.
    """
    data = read_bytes(f"{path}/{SPEC_FILE}") or b""
    found = _SEED.findall(data)
    if len(found) != 1:
        spec = read_spec(path)
        data, found = spec.to_file(), [spec.seed]
    seed = int(found[0])
    first = FIRST_TUNING_SEED if seed >= FIRST_TUNING_SEED else 0
    text = _SEED.sub(b'\n "seed": %d,\n' % first, data)
    digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
    return SeedlessSpec(digest, text), seed


class SeedlessSpecs(Mapping[str, IndexedRow]):
    """What each spec says of its row, by digest; a digest always stands for the same.

    Args:
        folder: Folder of the index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, IndexedRow] = {}
        self._proofs: dict[str, Proof] = {}
        self._read: set[str] = set()
        self._derived: set[str] = set()
        self._written: set[str] = set()
        self.unwritten: set[str] = set()
        self.recovered = False

    def __getitem__(self, digest: str) -> IndexedRow:
        """Return what the spec with this *digest* says.

        Raises:
            KeyError: If no file of the index has it.
        """
        if digest not in self._known:
            self.load(digest[0])
        return self._known[digest]

    def __iter__(self) -> Iterator[str]:
        """Yield the digests of all that the index has."""
        for digit in DIGITS:
            self.load(digit)
        return iter(list(self._known))

    def __len__(self) -> int:
        """Return how many the index has."""
        return sum(1 for _ in self)

    def of(self, spec: SeedlessSpec, path: Path) -> IndexedRow:
        """Return what *spec*, of the run in the folder *path*, says.

        That is read from it: files of the index take longer unless they are needed anyway.

        Raises:
            StoreError: If it is damaged.
        """
        row = self._known.get(spec.digest)
        if row is None:
            try:
                content = json.loads(spec.text)
                read = RunSpec.from_content(content)
                row = IndexedRow.of_spec(read, spec.text)
                self._proofs[spec.digest] = Proof.of(read, content)
            except (AttributeError, KeyError, TypeError, ValueError):
                read_spec(path)  # says what is wrong with it
                raise
            self._known[spec.digest] = row
            self._derived.add(spec.digest)
        return row

    def proof(self, digest: str) -> Proof:
        """Return what the specs with this *digest*, at any seed, must agree with.

        Raises:
            KeyError: If no file of the index has it.
        """
        proof = self._proofs.get(digest)
        if proof is None:
            content = json.loads(self[digest].text)
            proof = Proof.of(RunSpec.from_content(content), content)
            self._proofs[digest] = proof
        return proof

    def need(self, digest: str) -> None:
        """Have the spec with this *digest* written, for a run that is."""
        if digest in self._derived:
            self._derived.discard(digest)
            self.load(digest[0])
            if digest not in self._written:
                self.unwritten.add(digest[0])

    def recover(self, path: Path, digest: str) -> IndexedRow:
        """Return what the spec of the run in the folder *path* says, for the index has lost it.

        Raises:
            StoreError: If it is missing or damaged, or was changed by hand meanwhile.
        """
        spec, _ = read_seedless(path)
        if spec.digest != digest:
            raise StoreError(f"{path} is not what it was a moment ago. Look again.")
        self.recovered = True
        row = self.of(spec, path)
        self.need(digest)
        return row

    def load(self, digit: str) -> None:
        """Read those whose digests begin with *digit*, unless that was done before."""
        if digit not in self._read:
            self._read.add(digit)
            self._take_own(digit)

    def bring(self, folder: Path) -> None:
        """Take over those that the index in another *folder* has, to be written here."""
        for digit in DIGITS:
            found = index_files.read_rows(folder, digit)
            if found.keys() - self._written:
                self.unwritten.add(digit)
            self._take(found)

    def write(self, used: Collection[str] | None) -> None:
        """Write what is new, together with what others have written meanwhile.

        Args:
            used: Digests to keep; None for all.

        Raises:
            OSError: If a file cannot be written.
        """
        for digit in sorted(self.unwritten if used is None else DIGITS):
            self._take_own(digit)
            mine = {d: row for d, row in self._known.items() if d[0] == digit}
            kept = {d: row for d, row in mine.items() if used is None or d in used}
            if digit in self.unwritten or len(kept) < len(mine):
                index_files.write_rows(self._folder, digit, kept)
                self._written.update(kept)
            self.unwritten.discard(digit)

    def keep(self) -> None:
        """Write what had to be recovered, if there is an index."""
        if self.recovered and self._folder.exists():
            with contextlib.suppress(OSError):
                self.write(None)
                self.recovered = False

    def _take_own(self, digit: str) -> None:
        found = index_files.read_rows(self._folder, digit)
        self._written.update(found)
        self._take(found)

    def _take(self, rows: Mapping[str, IndexedRow]) -> None:
        for digest, row in rows.items():
            self._known.setdefault(digest, row)
