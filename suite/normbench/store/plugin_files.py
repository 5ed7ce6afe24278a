"""Which one-off plugin files the runs of a store came from: ``plugin_files.json``.

A spec holds the digest of such a file, which finds it nowhere. Commands name the file's place by
this list; nothing else depends on it, and it may be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from normbench.errors import StoreError
from normbench.store.files import explained, open_folder, read_json, to_json, write_whole
from normbench.store.layout import PLUGIN_FILES

_SCHEMA = 1


def note_plugin_files(root: Path, offered: Mapping[Path, Iterable[str]]) -> None:
    """Add plugin files to the list of the store in *root*.

    Args:
        root: Folder of the store.
        offered: What each file offers, such as ``norm mine``.

    Raises:
        StoreError: If the store cannot be written.
    """
    known = _read(root)
    listed = known | {str(file.absolute()): sorted(names) for file, names in offered.items()}
    if listed == known:
        return
    with explained("write", root / PLUGIN_FILES), open_folder(root) as folder:
        content = to_json({"schema": _SCHEMA, "files": listed})
        write_whole(PLUGIN_FILES, content, folder=folder)


def find_plugin_file(root: Path, kind: str, name: str) -> Path | None:
    """Return the file noted last that offered a component and is still there; None if none is."""
    component = f"{kind} {name}"
    files = (Path(file) for file, names in reversed(_read(root).items()) if component in names)
    return next((file for file in files if file.is_file()), None)


def _read(root: Path) -> dict[str, list[str]]:
    """Return what is listed; nothing where the list is damaged, since it is only of help."""
    try:
        found = (read_json(root / PLUGIN_FILES) or {}).get("files", {})
    except StoreError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(file): names for file, names in found.items() if isinstance(names, list)}
