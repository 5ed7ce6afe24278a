"""What rows of ``normbench bench`` write while they are timed, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any


class Journal:
    """Lines of JSON in a file, each there before the next epoch begins.

    Attributes:
        folder: Where the file is, and where the engine's rows keep the run stores of their own.
    """

    def __init__(self, stream: IO[str], folder: Path) -> None:
        self.folder = folder
        self._stream = stream

    def write(self, **content: Any) -> None:
        """Write one line."""
        self._stream.write(json.dumps(content) + "\n")
        self._stream.flush()


@contextmanager
def temporary_journal() -> Iterator[Journal]:
    """Give a journal that is gone afterwards, with its folder."""
    with TemporaryDirectory(prefix="normbench-bench-") as name:
        folder = Path(name)
        with (folder / "journal.jsonl").open("w", encoding="utf-8") as stream:
            yield Journal(stream, folder)
