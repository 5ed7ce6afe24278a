"""The line that every row of ``normbench bench`` writes for an epoch, as a run would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any


class Journal:
    """Lines of JSON in a file, each there before the next epoch begins."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, **content: Any) -> None:
        """Write one line."""
        self._stream.write(json.dumps(content) + "\n")
        self._stream.flush()


@contextmanager
def temporary_journal() -> Iterator[Journal]:
    """Give a journal that is gone afterwards."""
    with TemporaryFile("w", encoding="utf-8", prefix="normbench-bench-") as stream:
        yield Journal(stream)
