"""Studies whose trials were trained by someone else than ``normbench tune``, which has to go on.

Whoever trains a store's runs may end the last trial of a study; only ``tune`` chooses the winner,
and draws the next trial where that depends on the last. This says which studies wait for it, and
the command. It reads the records alone, so that a machine that only trains can do it.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from normbench.errors import DamagedFileError, StoreError
from normbench.setting_files import SETTINGS_FOLDER, damaged_settings
from normbench.store.files import read_json
from normbench.store.layout import TUNING_FOLDER
from normbench.store.store import RunStore


def untaken_studies(store: RunStore, runs: Collection[str] | None = None) -> list[str]:
    """Return what waits for ``normbench tune`` now that *runs* have ended, in sentences.

    Args:
        store: Where they are.
        runs: Fingerprints of runs that were trained; studies of none of them are left out. None
            for all studies.

    Returns:
        The sentences. A record, or a known setting, that cannot be read is one of them.
    """
    commands: dict[str, list[str]] = {}
    unread: list[str] = []
    for path in sorted((store.root / TUNING_FOLDER).glob("*.json")):
        try:
            found = _waiting(store, path, runs, unread)
        except StoreError as error:
            unread.append(f"Of one study it is not known whether it waits for a tune: {error}")
            continue
        if found is not None:
            command, study = found
            commands.setdefault(command, []).append(study[:8])
    return [
        *dict.fromkeys(unread),
        *(
            f"Tuning is not over: the trials of {_named(studies)} have ended, and unless a tune is "
            f"still at work nobody takes the winner. Go on with: {command}"
            for command, studies in commands.items()
        ),
    ]


def _waiting(
    store: RunStore, path: Path, runs: Collection[str] | None, unread: list[str]
) -> tuple[str, str] | None:
    """Return the command that a study waits for, and its name; None if it waits for none.

    Args:
        store: Where it is.
        path: Its record.
        runs: Fingerprints of runs that were trained; None for all.
        unread: Gets a sentence for each known setting that cannot be read.
    """
    content = read_json(path)
    if content is None or "commands" not in content:
        return None
    try:
        members = {run for entry in _entries(content) for run in entry["runs"].values()}
        concerned = runs is None or not members.isdisjoint(runs)
        if concerned and _waits(store, content, members, unread):
            return _command(store, content), content["id"]
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged_record(path, f"{type(error).__name__}: {error}") from error
    return None


def damaged_record(path: Path, why: str) -> DamagedFileError:
    """Return the error for the file of a study that holds something else."""
    return DamagedFileError(
        f"{path} is no record of a study ({why}). Restore it from a backup, or delete it and tune "
        "again: what was trained is kept.",
        path,
    )


def _entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [content["default"], *content["trials"]]


def _waits(
    store: RunStore, content: dict[str, Any], members: Collection[str], unread: list[str]
) -> bool:
    known = store.indexed(members)
    if not all(known[run].done for run in members):
        return False
    drawn = len(content["trials"])
    if drawn < content["budget"]:
        return True
    judged = content.get("concluded", 0) >= drawn
    seeds = min(len(entry["runs"]) for entry in _entries(content))
    return not judged and not _is_taken(store.root, content["id"], drawn, seeds, unread)


def _is_taken(root: Path, study: str, trials: int, seeds: int, unread: list[str]) -> bool:
    """Whether a known setting of the store was chosen from all *trials* at all *seeds*."""
    for path in (root / SETTINGS_FOLDER).glob("*.toml"):
        try:
            origin = tomllib.loads(path.read_text(encoding="utf-8"))["origin"]
            enough = origin["trials"] >= trials and origin["seeds"] >= seeds
            if origin["source"].endswith(f"study {study}") and enough:
                return True
        except (OSError, ValueError, KeyError, TypeError) as error:
            unread.append(str(damaged_settings(path, f"{type(error).__name__}: {error}")))
    return False


def _command(store: RunStore, content: dict[str, Any]) -> str:
    return shlex.join([*content["commands"]["tune"], "--store", str(store.root.absolute())])


def _named(studies: list[str]) -> str:
    shown = ", ".join(studies[:5]) + (", ..." if len(studies) > 5 else "")
    return f"{'study' if len(studies) == 1 else 'studies'} {shown}"
