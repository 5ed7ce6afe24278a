"""Times and sizes as people type them, ``90``, ``30m``, ``2h``, ``4G``, and counts in words."""

from __future__ import annotations

import re

from normbench.errors import UsageError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_seconds(text: str) -> float:
    """Return the seconds that *text* means: ``90``, ``30m``, ``1.5h``, ``2d``, ``1:30:00``.

    Clock times are hours, minutes and seconds, with days before them as in ``2-12:00:00``.

    Raises:
        UsageError: If it is no time above 0.
    """
    words = text.strip()
    seconds = 0.0
    if match := _TIME.fullmatch(words):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif match := _CLOCK.fullmatch(words):
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if not seconds > 0:
        raise UsageError(f"{text!r} is no time: give seconds above 0, or 30m, 2h, 1d, 1:30:00.")
    return seconds


def parse_bytes(text: str) -> int:
    """Return the bytes that *text* means: ``512M``, ``4G``, ``4GiB``; units are powers of 1024.

    Raises:
        UsageError: If it is no size above 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _BYTES[match[2].upper()]) if match else 0
    if size <= 0:
        raise UsageError(f"{text!r} is no size: give bytes above 0, or 512M, 4G.")
    return size


def show_bytes(size: float) -> str:
    """Return *size* for people, such as ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def typed_seconds(seconds: float) -> str:
    """Return *seconds* as a person would type them: ``2h``, ``90``; to a millionth of a second."""
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def typed_bytes(size: int) -> str:
    """Return *size* as a person would type it: ``4G``, ``1536M``."""
    for unit in ("T", "G", "M", "K"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return how many there are of what *noun* names, such as ``1 run`` and ``2 runs``.

    Args:
        number: How many.
        noun: What, of one.
        plural: What, of several, where that is not *noun* with an ``s``.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
