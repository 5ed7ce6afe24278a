"""Series of a run: which observers were asked for, and what they saw.

They lie in the folder ``probes`` of the run: ``NAME.request.json`` is what was asked, ``NAME.npz``
the series, and ``NAME.json`` declares it. The latter is what counts: it is written last, and names
the weights that the series ends in, so a series never stands beside another training's result.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from normbench.errors import DamagedFileError, UsageError
from normbench.specs import ComponentSpec
from normbench.store.files import (
    explained,
    open_folder,
    read_bytes,
    read_json,
    temporary_name,
    to_json,
    write_once,
    write_whole,
)
from normbench.store.folders import RESULT_FILE
from normbench.store.journal import Point, decode

SERIES_FOLDER = "probes"
SERIES_JOURNAL = "probes.jsonl"
_REQUEST = ".request.json"
_DECLARATION = ".json"
_SERIES = ".npz"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:-]*")


def ask(run: Path, observer: ComponentSpec) -> None:
    """Record that the run in the folder *run* is to be observed; what was asked before is replaced.

    Raises:
        UsageError: If the observer's name cannot name a file.
        StoreError: If it cannot be written.
    """
    if not _NAME.fullmatch(observer.name):
        raise UsageError(
            f"observer {observer.name!r} cannot be stored under its name. Rename it: letters, "
            "digits, '_', '-' and ':'."
        )
    name, content = f"{observer.name}{_REQUEST}", to_json(asdict(observer))
    folder = run / SERIES_FOLDER
    if read_bytes(folder / name) == content:
        return
    with explained("write", folder / name):
        folder.mkdir(exist_ok=True)
        with open_folder(folder) as descriptor:
            write_whole(name, content, folder=descriptor)


def asked(run: Path) -> list[ComponentSpec]:
    """Return the observers that were asked for, by name."""
    found = (read_json(run / SERIES_FOLDER / name) for name in _names(run, _REQUEST))
    return [_component(content) for content in found if content is not None]


def declared(run: Path) -> dict[str, dict[str, Any]]:
    """Return the declarations of the series that belong to the run's result, by observer.

    Raises:
        StoreError: If one is damaged.
    """
    names = [name.removesuffix(_DECLARATION) for name in _names(run, _DECLARATION)]
    result = read_json(run / RESULT_FILE) if names else None
    if result is None:
        return {}
    found = {name: _declaration(run, name) for name in names}
    weights = result.get("weights_sha256")
    return {
        name: content
        for name, content in found.items()
        if content is not None and content["weights_sha256"] == weights
    }


def lacking(run: Path) -> list[ComponentSpec]:
    """Return the observers that were asked for and whose series the run's result is without.

    Of a run without a result nothing is lacking yet: what is asked for comes with it.
    """
    wanted = asked(run)
    if not wanted or not (run / RESULT_FILE).exists():
        return []
    there = {name: _component(content["observer"]) for name, content in declared(run).items()}
    return [observer for observer in wanted if there.get(observer.name) != observer]


def series_path(run: Path, observer: str) -> Path:
    """Return the file of an observer's series."""
    return run / SERIES_FOLDER / f"{observer}{_SERIES}"


def publish(run: Path, attempt: Path, observer: str, declaration: Mapping[str, Any]) -> None:
    """Make the series in the folder of an *attempt* the run's.

    The file is linked by path, which fails once the attempt was set aside.

    Raises:
        OSError: If the attempt is gone, or something cannot be written.
    """
    own, published = attempt / own_file(observer), series_path(run, observer)
    published.parent.mkdir(exist_ok=True)
    prepared = published.with_name(temporary_name(published.name))
    try:
        prepared.hardlink_to(own)
        prepared.replace(published)
    finally:
        with contextlib.suppress(OSError):
            prepared.unlink()
    content = {**declaration, "bytes": published.stat().st_size}
    with open_folder(published.parent) as folder:
        write_whole(f"{observer}{_DECLARATION}", to_json(content), folder=folder)


def own_file(observer: str) -> str:
    """Return the name of an attempt's own copy of a series."""
    return f"probes-{observer}{_SERIES}"


def covers(attempt: Path, wanted: Sequence[ComponentSpec]) -> bool:
    """Whether the attempt in a folder has observed all that is *wanted* from its first step."""
    try:
        with (attempt / SERIES_JOURNAL).open("rb") as stream:
            observed = observers_of(decode(stream.readline()))
    except FileNotFoundError:
        return False
    return all(observer in observed for observer in wanted)


def observers_of(lines: Iterable[Point]) -> list[ComponentSpec]:
    """Return the observers of a journal of series, which its first line names."""
    return [_component(entry) for line in lines for entry in line.get("observers", ())]


def bring_series(source: Path, target: Path) -> bool:
    """Copy requests and series of a run that *target* lacks; whether there were any.

    A series comes only to the result that it belongs to.

    Raises:
        OSError: If they cannot be written.
    """
    there, weights = declared(target), (read_json(target / RESULT_FILE) or {}).get("weights_sha256")
    missing = {
        name: content
        for name, content in declared(source).items()
        if name not in there and content["weights_sha256"] == weights
    }
    changed = False
    requests = _names(source, _REQUEST)
    if missing or requests:
        (target / SERIES_FOLDER).mkdir(exist_ok=True)
        with open_folder(target / SERIES_FOLDER) as folder:
            for name in requests:
                request = read_bytes(source / SERIES_FOLDER / name)
                changed |= request is not None and write_once(name, request, folder=folder)
            for name, content in missing.items():
                data = series_path(source, name).read_bytes()
                write_whole(f"{name}{_SERIES}", data, folder=folder)
                write_whole(f"{name}{_DECLARATION}", to_json(content), folder=folder)
    return changed or bool(missing)


def _declaration(run: Path, observer: str) -> dict[str, Any] | None:
    """Return what is declared of a series; None if its file is not the one declared."""
    path = run / SERIES_FOLDER / f"{observer}{_DECLARATION}"
    content = read_json(path)
    if content is None:
        return None
    try:
        whole = series_path(run, observer).stat().st_size == content["bytes"]
        mine = _component(content["observer"]).name == observer and content["weights_sha256"]
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{path} is damaged ({type(error).__name__}: {error}). Delete it and ask for the "
            "series again.",
            path,
        ) from error
    return content if whole and mine else None


def _names(run: Path, suffix: str) -> list[str]:
    """Return the files of a kind in the folder of series, by name."""
    try:
        names = os.listdir(run / SERIES_FOLDER)  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return []
    of_kind = (name for name in names if name.endswith(suffix))
    # An observer's name has no dot, so neither preparations nor other kinds are among these.
    return sorted(name for name in of_kind if _NAME.fullmatch(name.removesuffix(suffix)))


def _component(content: Mapping[str, Any]) -> ComponentSpec:
    parameters = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content["parameters"].items()
    }
    return ComponentSpec(name=content["name"], version=content["version"], parameters=parameters)
