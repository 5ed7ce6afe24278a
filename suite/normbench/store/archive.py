"""Stores in tar archives, read as if they came from a stranger."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from normbench.errors import StoreError
from normbench.setting_files import SETTINGS_FOLDER
from normbench.store.files import explained
from normbench.store.folders import CANCEL_FILE
from normbench.store.layout import (
    RUNS_FOLDER,
    STAGES_FOLDER,
    STORE_FILE,
    TUNING_FOLDER,
    VERIFIED_FOLDER,
)
from normbench.store.series import SERIES_FOLDER

# What a store consists of; locks, logs and the tracking database stay where they are.
_WANTED = re.compile(
    rf"{re.escape(STORE_FILE)}"
    rf"|({TUNING_FOLDER}|{STAGES_FOLDER}|{VERIFIED_FOLDER})/[^/]+\.json|{SETTINGS_FOLDER}/[^/]+\.toml"
    rf"|{RUNS_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{32}}/"
    rf"(spec\.json|result\.json|{CANCEL_FILE}|{SERIES_FOLDER}/[^/]+|"
    r"attempts/\d{4,}(\.superseded|\.merged-[0-9a-f]{8})?(/[^/]+)+)"
)


def extract_store(archive: Path, folder: Path) -> None:
    """Extract the store in *archive* to the new *folder*.

    Nothing is written unless the whole archive is in order. Names are checked one by one and files
    written by ourselves, so no member decides where it goes.

    Raises:
        StoreError: If a member leaves the store or is neither file nor folder, if there is not
            exactly one store, or if something cannot be read or written.
    """
    try:
        with explained("read", archive), tarfile.open(archive) as tar:
            members = tar.getmembers()
            _check(archive, members)
            top = _top(archive, members)
            with explained("write", folder):
                for member in members:
                    _extract(tar, member, top, folder)
    except StoreError:
        raise
    except Exception as error:
        # Each decompressor raises errors of its own for what it cannot read.
        raise StoreError(
            f"{archive} is no readable tar archive ({' '.join(str(error).split())}). Make or copy "
            "it again."
        ) from error


def _check(archive: Path, members: Iterable[tarfile.TarInfo]) -> None:
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise StoreError(
                f"{archive} is refused: its member {member.name!r} lies outside of the store. "
                "Pack the folder of a store as it is, and nothing else."
            )
        if not (member.isreg() or member.isdir() or member.islnk()):
            raise StoreError(
                f"{archive} is refused: its member {member.name!r} is neither a file nor a folder. "
                "Pack the folder of a store as it is, and nothing else."
            )


def _top(archive: Path, members: Iterable[tarfile.TarInfo]) -> PurePosixPath:
    """Return where in the archive the store begins."""
    paths = (PurePosixPath(member.name) for member in members)
    tops = sorted({path.parent for path in paths if path.name == STORE_FILE})
    outermost = [top for top in tops if not any(other in top.parents for other in tops)]
    if len(outermost) != 1:
        raise StoreError(
            f"{archive} holds {len(outermost)} run stores, expected one. "
            "Pack the folder of one store."
        )
    return outermost[0]


def _extract(
    tar: tarfile.TarFile, member: tarfile.TarInfo, top: PurePosixPath, folder: Path
) -> None:
    path = PurePosixPath(member.name)
    if not path.is_relative_to(top) or not _WANTED.fullmatch(str(path.relative_to(top))):
        return
    content = tar.extractfile(member)
    if content is None:
        return  # a folder
    target = folder.joinpath(*path.relative_to(top).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as stream:
        shutil.copyfileobj(content, stream)
