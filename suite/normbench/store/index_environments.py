"""Where the attempt that a result is of was trained, found with few steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from normbench.errors import StoreError
from normbench.store.files import from_json, is_gone, read_bytes
from normbench.store.folders import (
    ATTEMPTS_FOLDER,
    ENVIRONMENT_FILE,
    RESULT_FILE,
    list_attempts,
)

# What tells one worker from the next, and not where it trained.
_LEFT_OUT = ("command",)
_REMEMBERED = 1024


def environment_of(run: Path, result: Mapping[str, Any]) -> str:
    """Return where the *result* of the run in the folder *run* comes from, as JSON.

    Empty if that is not known.
    """
    attempt = _attempt_of(run, result)
    if attempt is None:
        return ""
    try:
        data = read_bytes(f"{attempt}/{ENVIRONMENT_FILE}")
        return "" if data is None else _kept(data)
    except StoreError:
        return ""


def _attempt_of(run: Path, result: Mapping[str, Any]) -> Path | str | None:
    """Return the folder of the attempt that published *result*."""
    number = result.get("attempt")
    if isinstance(number, int):
        likely = f"{run}/{ATTEMPTS_FOLDER}/{number:04d}"
        if _same_file(f"{run}/{RESULT_FILE}", f"{likely}/{RESULT_FILE}"):
            return likely
    published = read_bytes(run / RESULT_FILE)
    found = [attempt.path for attempt in list_attempts(run) if attempt.published(published)]
    return found[-1] if found else None


def _same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file: a result is published by a hard link."""
    try:
        return os.path.samestat(os.stat(one), os.stat(other))  # noqa: PTH116 - there are many
    except OSError as error:
        if is_gone(error):
            return False
        raise


@lru_cache(maxsize=_REMEMBERED)
def _kept(data: bytes) -> str:
    """Return the environment in the bytes of a file, as compact JSON."""
    try:
        content = from_json(data)
    except ValueError:
        return ""
    kept = {name: value for name, value in content.items() if name not in _LEFT_OUT}
    return json.dumps(kept, separators=(",", ":"))
