"""The store's own MLflow database after its folder was moved or copied.

MLflow keeps absolute addresses of artifacts, so the database of a copy would go on to name, and to
write into, the folder that it was copied from.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_BUSY_SECONDS = 20.0


def follow(database: Path, before: str, now: str) -> None:
    """Let every address of an artifact below *before* name the same one below *now*.

    All of it is one transaction; doing so again changes nothing.

    Args:
        database: MLflow's SQLite database.
        before: Address of the folder of artifacts where the store was, without a slash at its end.
        now: The same where it is.

    Raises:
        OSError: If the database cannot be written.
    """
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection, connection:
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
                )
    except sqlite3.Error as error:
        raise OSError(f"{database}: {error}") from error
