"""What can go wrong in MLflow and below it, in sentences that say what to do."""

from __future__ import annotations

import errno
import re

from normbench.errors import StoreError


def known() -> tuple[type[Exception], ...]:
    """Return the exceptions by which the store, MLflow and the system say that they failed."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (StoreError, MlflowException, SQLAlchemyError, OSError)


def is_busy(error: Exception) -> bool:
    """Whether the database was locked for so long that more attempts would only wait again."""
    return "database is locked" in str(error)


def shown(uri: str) -> str:
    """Return *uri* without the password that it may hold."""
    return _PASSWORD.sub(r"\1***@", uri)


def explain(error: Exception, uri: str, *, reading: bool = False) -> str:
    """Return one sentence or two on *error* met at *uri*: what happened, and the fix.

    Args:
        error: What was raised.
        uri: Where.
        reading: Whether nothing was to be written, so that nothing is left to be sent.
    """
    text = _sentence(error, uri)
    return text.removesuffix(_LATER).rstrip() if reading else text


def _sentence(error: Exception, uri: str) -> str:
    text = str(error)
    if isinstance(error, StoreError):
        return text
    for sign, sentence in _SENTENCES:
        if sign in text:
            return sentence.format(uri=shown(uri))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _FULL.format(uri=shown(uri))
    return f"MLflow at {shown(uri)} refused: {_first_line(text.replace(uri, shown(uri)))}"


_PASSWORD = re.compile(r"(://[^/:@]*:)[^/@]*@")
_LATER = "The run store is complete without it; `normbench sync` sends what is missing."
_FULL = f"the disk of MLflow's database or artifacts ({{uri}}) is full. Free some space. {_LATER}"
_AWAY = (
    "the MLflow server {uri} does not answer. Check that it runs and that the address is right. "
    + _LATER
)
READ_ONLY = (
    "MLflow must be able to write its database {uri} and the folder around it, even to read. Copy "
    "the run store and name the copy (cp -r STORE COPY; --store COPY), or set MLFLOW_TRACKING_URI "
    "to a server. The run store itself can be read as it is, without MLflow."
)
_SENTENCES = (
    (
        "out-of-date database schema",
        "the MLflow database {uri} was made by another version of MLflow. Make a backup of it, "
        "then run: mlflow db upgrade {uri}",
    ),
    (
        "Can't locate revision",
        "the MLflow database {uri} was made by a newer version of MLflow. Upgrade mlflow.",
    ),
    (
        "database is locked",
        "another program has held the MLflow database {uri} for more than 20 seconds. Close it "
        f"(a backup or database browser?). {_LATER}",
    ),
    ("disk is full", _FULL),
    ("No space left", _FULL),
    ("readonly database", READ_ONLY),
    (
        "unable to open database file",
        "the MLflow database {uri} cannot be opened. Check that its folder exists. " + READ_ONLY,
    ),
    (
        "file is not a database",
        "{uri} is no SQLite database. Move the file away; `normbench sync` makes a new one.",
    ),
    (
        "filesystem tracking backend",
        "MLflow no longer writes to folders ({uri}). Set MLFLOW_TRACKING_URI to a server or a "
        "database such as sqlite:////home/me/mlflow.db, or unset it.",
    ),
    ("Max retries exceeded", _AWAY),
    ("Connection refused", _AWAY),
    ("Connection aborted", _AWAY),
    ("onnection broken", _AWAY),
    ("timeout exception", _AWAY),
    ("too many 50", _AWAY),
)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 300 else line[:299] + "…"
