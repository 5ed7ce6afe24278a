"""Files that appear whole or not at all, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from normbench.errors import DamagedFileError, NewerStoreError, StoreError

TEMPORARY_SUFFIX = ".tmp"
_READ_BYTES = 65536
_MADE_AGAIN = "Restore it from a backup, or delete it to have it made again."
_ACCESS = "Get access from its owner, or choose another store with --store DIR or $NORMBENCH_STORE"
_SAME = "What is stored stays valid, and the same command goes on from there"
_CAUSES: Mapping[int, str] = {
    errno.ENOSPC: f"the disk is full. Free some space. {_SAME}",
    errno.EDQUOT: f"your disk quota is used up. Free some space. {_SAME}",
    errno.EFBIG: f"the file-size limit of this process is reached. Raise it (ulimit -f). {_SAME}",
    errno.EROFS: f"the file system is read-only. {_ACCESS}",
    errno.EACCES: f"permission is denied. {_ACCESS}",
    errno.EPERM: f"the operation is not permitted. {_ACCESS}",
}


def explain(action: str, path: Path, error: OSError) -> StoreError:
    """Return the error that says what could not be done to *path*, why, and the fix."""
    cause = _CAUSES.get(error.errno or 0, f"{error.strerror or error}. Check the file system")
    return StoreError(f"cannot {action} {path}: {cause}.")


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the :class:`StoreError` of :func:`explain`."""
    try:
        yield
    except OSError as error:
        raise explain(action, path, error) from error


def is_gone(error: OSError) -> bool:
    """Whether *error* says that a file is not, or no longer, where it was looked for."""
    return error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


def to_json(content: Mapping[str, Any], *, indent: int | None = 1) -> bytes:
    """Return *content* as strict JSON, with a newline at its end.

    Raises:
        StoreError: If it holds a non-finite number or something that JSON lacks.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(dict(content), indent=indent, separators=separators, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"this cannot be stored as strict JSON ({error}): {dict(content)!r:.200}. "
            "Leave out what is not finite; use only numbers, text, lists and mappings."
        ) from error
    return text.encode() + b"\n"


def from_json(data: bytes) -> dict[str, Any]:
    """Read a strict JSON object.

    Raises:
        ValueError: If *data* is anything else.
    """
    content = _STRICT.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, not {type(content).__name__}")  # noqa: TRY004
    return content


def read_bytes(path: Path | str) -> bytes | None:
    """Return the content of *path*, or None if it does not exist."""
    try:
        return _content(os.fspath(path))
    except OSError as error:
        if is_gone(error):
            return None
        raise explain("read", Path(path), error) from error


def read_json(path: Path | str, advice: str = _MADE_AGAIN) -> dict[str, Any] | None:
    """Return the JSON object in *path*, or None if it does not exist.

    Args:
        path: The file.
        advice: What to do where it is damaged, in sentences.

    Raises:
        StoreError: If it cannot be read or is damaged.
    """
    data = read_bytes(path)
    if data is None:
        return None
    try:
        return from_json(data)
    except ValueError as error:
        raise DamagedFileError(
            f"{path} is damaged ({error}). normbench writes files whole, so something else changed "
            f"it. {advice}",
            Path(path),
        ) from error


def read_versioned(path: Path, schema: int, advice: str = _MADE_AGAIN) -> dict[str, Any] | None:
    """Return the JSON object in *path*, written with *schema* or an older one; None if missing.

    Args:
        path: The file.
        schema: The newest one that is known.
        advice: What to do where the file is damaged, in sentences.

    Raises:
        StoreError: If it cannot be read or is damaged, or a newer normbench wrote it.
    """
    content = read_json(path, advice)
    written = None if content is None else content.get("schema")
    if content is not None and isinstance(written, int) and written > schema:
        raise NewerStoreError(
            f"{path} was written by normbench {content.get('written_by')} with schema {written}; "
            f"this version reads up to {schema}. Upgrade normbench."
        )
    return content


def temporary_name(name: str) -> str:
    """Return a name, unlike any other, to prepare the file *name* under."""
    return f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


def is_temporary(name: str) -> bool:
    """Whether a file of this *name* is a preparation that may have been left half-written."""
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def write_whole(name: str, data: bytes, *, folder: int) -> None:
    """Write the file *name* in the open directory *folder*; it appears whole, replacing any other.

    Raises:
        OSError: If it cannot be written; then *name* is as it was.
    """
    write_all({name: data}, folder=folder)


def write_all(files: Mapping[str, bytes], *, folder: int) -> None:
    """Write *files* in the open directory *folder*, in order; each appears whole.

    The disk is waited for once, which takes less time than one file after another.

    Raises:
        OSError: If one cannot be written; then it and those after it are as they were.
    """
    with _prepared(files, folder) as temporaries:
        for name, temporary in temporaries.items():
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def write_once(name: str, data: bytes, *, folder: int) -> bool:
    """Write the file *name* unless it exists; whether it was written.

    Of several processes that try at once, exactly one succeeds.

    Raises:
        OSError: If it cannot be written, or the file system has no hard links.
    """
    with _prepared({name: data}, folder) as temporaries:
        try:
            os.link(temporaries[name], name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError:
            return False
    return True


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """Open a directory, for use as ``folder``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: int) -> None:
    """Make what happened to the names in the open directory *folder* last."""
    try:
        os.fsync(folder)
    except OSError as error:
        # Some network file systems cannot sync a directory; they write names through anyway.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


def remove_tree(path: Path) -> None:
    """Remove a file or folder that nobody needs, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextmanager
def _prepared(files: Mapping[str, bytes], folder: int) -> Iterator[dict[str, str]]:
    """Give names of files that hold what *files* say; what the block leaves of them is removed."""
    temporaries = {name: temporary_name(name) for name in files}
    try:
        with contextlib.ExitStack() as opened:
            streams = [opened.enter_context(_new(temporaries[name], folder)) for name in files]
            for stream, data in zip(streams, files.values(), strict=True):
                stream.write(data)
                stream.flush()
            for stream in streams:
                os.fsync(stream.fileno())
        yield temporaries
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
    sync_folder(folder)


def _new(name: str, folder: int) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb")


def _content(path: str) -> bytes:
    """Read a whole file: of the many small ones of a store in half of Python's usual time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        # Of a file, unlike a pipe, less than asked for comes only at its end.
        while len(part := os.read(descriptor, _READ_BYTES)) == _READ_BYTES:
            parts.append(part)
        return b"".join([*parts, part]) if parts else part
    finally:
        os.close(descriptor)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not strict JSON")


_STRICT = json.JSONDecoder(parse_constant=_refuse)
