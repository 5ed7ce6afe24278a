"""Studies whose trials were trained by someone else than ``normbench tune``, which has to go on.

Whoever trains a store's runs may end the last trial of a study; only ``tune`` chooses the winner,
and draws the next trial where that depends on the last. This says which studies wait for it, and
the command. It reads the records alone, so that a machine that only trains can do it.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from normbench.errors import StoreError
from normbench.setting_files import SETTINGS_FOLDER
from normbench.store.files import read_json
from normbench.store.layout import TUNING_FOLDER
from normbench.store.store import RunStore


def untaken_studies(store: RunStore, runs: Collection[str] | None = None) -> list[str]:
    """Return what waits for ``normbench tune`` now that *runs* have ended, in sentences.

    Args:
        store: Where they are.
        runs: Fingerprints of runs that were trained; studies of none of them are left out. None
            for all studies.

    Raises:
        StoreError: If the record of a study cannot be read.
    """
    commands: dict[str, list[str]] = {}
    for content in _records(store):
        members = {run for entry in _entries(content) for run in entry["runs"].values()}
        concerned = runs is None or not members.isdisjoint(runs)
        if concerned and _waits(store, content, members):
            commands.setdefault(_command(store, content), []).append(content["id"][:8])
    return [
        f"Tuning is not over: the trials of {_named(studies)} have ended, and unless a tune is "
        f"still at work nobody takes the winner. Go on with: {command}"
        for command, studies in commands.items()
    ]


def _records(store: RunStore) -> Iterator[dict[str, Any]]:
    for path in sorted((store.root / TUNING_FOLDER).glob("*.json")):
        content = read_json(path)
        if content is not None and "commands" in content:
            yield content


def _entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [content["default"], *content["trials"]]


def _waits(store: RunStore, content: dict[str, Any], members: Collection[str]) -> bool:
    known = store.indexed(members)
    if not all(known[run].done for run in members):
        return False
    drawn = len(content["trials"])
    if drawn < content["budget"]:
        return True
    judged = content.get("concluded", 0) >= drawn
    seeds = min(len(entry["runs"]) for entry in _entries(content))
    return not judged and not _is_taken(store.root, content["id"], drawn, seeds)


def _is_taken(root: Path, study: str, trials: int, seeds: int) -> bool:
    """Whether a known setting of the store was chosen from all *trials* at all *seeds*."""
    for path in (root / SETTINGS_FOLDER).glob("*.toml"):
        try:
            origin = tomllib.loads(path.read_text(encoding="utf-8"))["origin"]
            enough = origin["trials"] >= trials and origin["seeds"] >= seeds
            if origin["source"].endswith(f"study {study}") and enough:
                return True
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path} is not what normbench tune wrote ({type(error).__name__}: {error}). Mend "
                "it, or delete it and tune again."
            ) from error
    return False


def _command(store: RunStore, content: dict[str, Any]) -> str:
    return shlex.join([*content["commands"]["tune"], "--store", str(store.root)])


def _named(studies: list[str]) -> str:
    shown = ", ".join(studies[:5]) + (", ..." if len(studies) > 5 else "")
    return f"{'study' if len(studies) == 1 else 'studies'} {shown}"
