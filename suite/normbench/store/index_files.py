"""The files of the index: a convenience, never the truth.

``STORE/index`` holds ``rows.jsonl``, the specs of the store without their seeds, and a file for
each first digit of a fingerprint with what is known of those runs, column by column. Each is
replaced whole by whoever looked last, and no two need agree. What is missing, damaged or of another
version comes again from the files of the runs; so nothing here is synced to the disk.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normbench.store.files import from_json, is_temporary, temporary_name
from normbench.store.folders import RunState
from normbench.store.index_rows import IndexedRow
from normbench.store.indexed_run import IndexedRun

# A run and its three stamps, by fingerprint. Plain tuples: there may be 100 000.
Record = tuple[IndexedRun, int, int, int]
Records = dict[str, Record]

INDEX_FOLDER = "index"
_ROWS = "rows.jsonl"
_VERSION = 1
_STATES = {state.value: state for state in RunState}
# Columns that are as they are in IndexedRun, before and after its state.
_PLAIN = ("score", "seconds", "epoch", "attempts", "strikes", "message", "lacking", "cancelled")
_ABANDONED_SECONDS = 3600.0


def read_rows(folder: Path) -> dict[str, IndexedRow]:
    """Return the specs in the index *folder*, by digest."""
    try:
        head, *texts = (folder / _ROWS).read_bytes().removesuffix(b"\n").split(b"\n")
        found = zip(_read(head)["rows"].items(), texts, strict=True)
        rows = {digest: IndexedRow.from_json(row, text) for (digest, row), text in found}
        # Another version may derive other labels from the same spec; then it does so from each.
        kinds = {row.tuning: row for row in rows.values()}
        return rows if all(row.is_current() for row in kinds.values()) else {}
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return {}


def write_rows(folder: Path, rows: Mapping[str, IndexedRow]) -> None:
    """Replace the specs in the index *folder*.

    Raises:
        OSError: If they cannot be written.
    """
    head = _to_json({"rows": {digest: row.to_json() for digest, row in rows.items()}})
    _write(folder / _ROWS, b"\n".join([head, *(row.text for row in rows.values()), b""]))


def read_shard(folder: Path, digit: str, rows: Mapping[str, IndexedRow]) -> Records:
    """Return the runs in the index *folder* whose fingerprints begin with *digit*."""
    try:
        return _records(_read((folder / f"{digit}.json").read_bytes()), rows)
    except (IndexError, KeyError, OSError, TypeError, ValueError):
        return {}


def write_shard(folder: Path, digit: str, records: Records) -> None:
    """Replace what the index *folder* holds of the runs that begin with *digit*.

    Raises:
        OSError: If it cannot be written.
    """
    runs, *stamps = zip(*records.values(), strict=True) if records else ((), (), (), ())
    numbers: dict[str, int] = {}
    content: dict[str, Any] = {
        "spec": [numbers.setdefault(run.description, len(numbers)) for run in runs],
        "descriptions": list(numbers),
        "stamps": stamps,
    }
    for name in ("fingerprint", "seed", "state", *_PLAIN):
        content[name] = [getattr(run, name) for run in runs]
    _write(folder / f"{digit}.json", _to_json(content))


def sweep(folder: Path) -> None:
    """Remove what crashed processes left half-written."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if is_temporary(path.name) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _records(content: Mapping[str, Any], rows: Mapping[str, IndexedRow]) -> Records:
    digests = content["descriptions"]
    known = [rows[digest].row if digest in rows else "" for digest in digests]
    names, specs = content["fingerprint"], content["spec"]
    columns = [names, [known[spec] for spec in specs], [digests[spec] for spec in specs]]
    columns += [content["seed"], [_STATES[state] for state in content["state"]]]
    columns += [content[name] for name in _PLAIN]
    runs = map(IndexedRun._make, zip(*columns, [False] * len(names), strict=True))
    records = dict(zip(names, zip(runs, *content["stamps"], strict=True), strict=True))
    if "" in known:
        return {name: record for name, record in records.items() if record[0].row}
    return records


def _to_json(content: Mapping[str, Any]) -> bytes:
    content = {"version": _VERSION, **content}
    return json.dumps(content, separators=(",", ":"), check_circular=False).encode()


def _read(data: bytes) -> dict[str, Any]:
    """Return the content of a file of the index; empty if it is of another version."""
    content = from_json(data)
    return content if content.get("version") == _VERSION else {}


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(temporary_name(file.name))
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
