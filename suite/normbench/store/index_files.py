"""The files of the index: a convenience, never the truth.

``STORE/index`` holds the specs of the store without their seeds, spread over 16 files by the first
digit of their digests (``specs-0.jsonl``), and for each first digit of a fingerprint a file with
what is known of those runs (``runs-0.bin``). Each is replaced whole by whoever looked last, and no
two need agree. A file begins with a line that tells its version and a checksum of the rest; what is
missing, damaged or of another version comes again from the files of the runs. So nothing here is
synced to the disk.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import zlib
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normbench.store.files import is_temporary, temporary_name
from normbench.store.index_rows import IndexedRow

INDEX_FOLDER = "index"
DIGITS = "0123456789abcdef"
_VERSION = 6
_ABANDONED_SECONDS = 3600.0


def rows_file(folder: Path, digit: str) -> Path:
    """Return the file of the specs whose digests begin with *digit*."""
    return folder / f"specs-{digit}.jsonl"


def shard_file(folder: Path, digit: str) -> Path:
    """Return the file of the runs whose fingerprints begin with *digit*."""
    return folder / f"runs-{digit}.bin"


def read_rows(folder: Path, digit: str) -> dict[str, IndexedRow]:
    """Return the specs in the index *folder* whose digests begin with *digit*, by digest."""
    try:
        (packed,) = read_parts(rows_file(folder, digit))[1]
        line, *texts = packed.split(b"\n")
        head = json.loads(line)
        known = map(head["tables"].__getitem__, head["table"])
        rows = {
            digest: IndexedRow.from_json(row, table, text)
            for (digest, row), table, text in zip(head["rows"].items(), known, texts, strict=True)
        }
        # Another version may derive other labels from the same spec; then it does so from each.
        kinds = {row.tuning: row for row in rows.values()}
        return rows if all(row.is_current() for row in kinds.values()) else {}
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return {}


def write_rows(folder: Path, digit: str, rows: Mapping[str, IndexedRow]) -> None:
    """Replace the specs in the index *folder* whose digests begin with *digit*.

    Raises:
        OSError: If they cannot be written.
    """
    tables: dict[str, int] = {}
    head = {
        "table": [tables.setdefault(row.table, len(tables)) for row in rows.values()],
        "rows": {digest: row.to_json() for digest, row in rows.items()},
        "tables": list(tables),
    }
    packed = b"\n".join([to_json(head), *(row.text for row in rows.values())])
    write_file(rows_file(folder, digit), pack({}, [packed]))


def pack(head: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """Return a file of *parts*, with what *head* says in its first line."""
    body = b"".join(parts)
    line = {
        "version": _VERSION,
        "order": sys.byteorder,
        "sizes": [len(part) for part in parts],
        "checksum": zlib.crc32(body),
        **head,
    }
    return to_json(line) + b"\n" + body


def read_parts(file: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Return the first line and the parts of a file that :func:`pack` made.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged, or of another version.
    """
    data = file.read_bytes()
    end = data.index(b"\n")
    line = json.loads(data[:end])
    if not isinstance(line, dict):
        raise ValueError(f"{file.name} does not begin as it should")  # noqa: TRY004
    if (line.get("version"), line.get("order")) != (_VERSION, sys.byteorder):
        raise ValueError(f"{file.name} is of another version")
    starts, ends = end + 1, len(data)
    if (
        sum(line["sizes"]) != ends - starts
        or zlib.crc32(memoryview(data)[starts:]) != line["checksum"]
    ):
        raise ValueError(f"{file.name} is damaged")
    parts: list[bytes] = []
    for size in line["sizes"]:
        parts.append(data[starts : starts + size])
        starts += size
    return line, parts


def numbers(kind: str, data: bytes) -> array[Any]:
    """Return the array of a part.

    Raises:
        ValueError: If its size is none of such an array.
    """
    found = array(kind)
    found.frombytes(data)
    return found


def to_json(content: Any) -> bytes:
    """Return *content* as compact JSON."""
    return json.dumps(content, separators=(",", ":"), check_circular=False).encode()


def sweep(folder: Path) -> None:
    """Remove what crashed processes left half-written."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if is_temporary(path.name) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def forget_runs(folder: Path) -> None:
    """Remove what the index in *folder* knows of runs; the next look reads all of them anew.

    Raises:
        OSError: If a file cannot be removed.
    """
    for digit in DIGITS:
        shard_file(folder, digit).unlink(missing_ok=True)


def write_file(file: Path, data: bytes) -> None:
    """Replace *file*, whole.

    Raises:
        OSError: If it cannot be written.
    """
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(temporary_name(file.name))
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
