"""What a worker tells its launcher: lines of JSON in a file beside its log.

``ready`` when it can begin, ``took`` and ``ended`` for each run, ``waits`` if those that are left
wait for others on this machine. The launcher reads them to know which run a worker holds and since
when, what came of it, and how much memory it took. The store alone says how runs stand, so a line
that cannot be written, or not be read, harms nothing else.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any


class Reporter:
    """Appends the lines of one worker.

    Args:
        path: The file; None to tell nobody.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._unwritten = b""

    def tell(self, event: str, **values: Any) -> None:
        """Append one line, after what was left of earlier ones, as on a disk that was full."""
        if self._path is None:
            return
        self._unwritten += json.dumps({"event": event, **values}).encode() + b"\n"
        # Unbuffered, so that it is known how much was written.
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as stream:
            while self._unwritten:
                self._unwritten = self._unwritten[stream.write(self._unwritten) :]


class ReportReader:
    """Reads the lines of one worker as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def news(self) -> list[dict[str, Any]]:
        """Return the whole lines that were appended since the last call and can be read."""
        try:
            if self._path.stat().st_size == self._offset:
                return []
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := _event(line)) is not None]


def _event(line: bytes) -> dict[str, Any] | None:
    """Return what *line* says; None if it is damaged, as a file system may leave it."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "event" in content else None
