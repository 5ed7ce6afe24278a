"""Reading all files of a store to find those that are damaged or contradict themselves.

The index is not asked: it believes that a file is what it was while the folder around it did not
change, as it does whenever a file is replaced, and not when an editor writes into it. What
checkpoints and series hold is not read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from normbench.errors import DamagedFileError, StoreError
from normbench.setting_files import SETTINGS_FOLDER, read_folder
from normbench.store.declarations import readable_declarations
from normbench.store.files import read_bytes
from normbench.store.folders import RESULT_FILE, list_attempts
from normbench.store.index_files import INDEX_FOLDER, forget_runs
from normbench.store.layout import FINGERPRINT, LOCKS_FOLDER, RUNS_FOLDER, list_names, run_path
from normbench.store.leases import FileClock
from normbench.store.proofs import Scoring, read_result
from normbench.store.run import StoredRun
from normbench.store.verifications import read_verifications


def list_fingerprints(root: Path) -> list[str]:
    """Return the names of all folders of runs in the store *root*, sorted.

    Raises:
        StoreError: If a folder cannot be read.
    """
    runs = root / RUNS_FOLDER
    names = (name for bucket in list_names(runs) for name in list_names(runs / bucket))
    return sorted(filter(FINGERPRINT.fullmatch, names))


def check_run(root: Path, fingerprint: str) -> Iterator[StoreError]:
    """Yield what is wrong with the files of a run of the store *root*, with the remedy.

    Its spec must be what its fingerprint is made of, its result its own, with a score that agrees
    with its numbers, and the same as the copy of the attempt that published it.
    """
    path = run_path(root, fingerprint)
    run = StoredRun(path, FileClock(root / LOCKS_FOLDER))
    # Without a spec nothing else can be judged.
    if error := _error(lambda: run.spec):
        if path.exists():
            yield error
        return
    # Of several things wrong with one file the first is told, whose remedy is the cheapest.
    copies = partial(_check_copy, path, Scoring.of(run.spec))
    looks: tuple[Callable[[], object], ...] = (
        copies,
        run.result,
        run.state,
        run.attempts,
        run.observed,
    )
    found: dict[str, StoreError] = {}
    for error in filter(None, map(_error, looks)):
        found.setdefault(told_of(error), error)
    yield from found.values()


def forget_index(root: Path) -> None:
    """Let the next look at the store *root* read all runs anew, as a check has just done.

    Nothing happens where the store cannot be written.
    """
    with contextlib.suppress(OSError):
        forget_runs(root / INDEX_FOLDER)


def told_of(error: StoreError) -> str:
    """Return the file that *error* is about, or what it says where that is of none."""
    file = error.file if isinstance(error, DamagedFileError) else Path()
    return str(error if file == Path() else file)


def check_records(root: Path) -> Iterator[StoreError]:
    """Yield what is wrong with declared stages, known settings and tests of a precision."""
    yield from readable_declarations(root)[1].values()
    yield from read_folder(root / SETTINGS_FOLDER)[1]
    if error := _error(lambda: read_verifications(root)):
        yield error


def _error(look: Callable[[], object]) -> StoreError | None:
    try:
        look()
    except StoreError as error:
        return error
    return None


def _check_copy(path: Path, scoring: Scoring) -> None:
    """Check that the result of the run in the folder *path* is as an attempt published it."""
    file = path / RESULT_FILE
    published = read_bytes(file)
    if published is None:
        return
    copies = [each.path / RESULT_FILE for each in list_attempts(path)]
    there = {copy: data for copy in copies if (data := read_bytes(copy)) is not None}
    if not there or published in there.values():
        return
    whole = [copy for copy in there if not _error(partial(read_result, path, scoring, copy))]
    is_whole = _error(partial(read_result, path, scoring)) is None
    if whole:
        backup = ", or restore both from a backup" if is_whole else ""
        raise DamagedFileError(
            f"{file} is not what the run's attempt published: {whole[-1]}. Put that in its place"
            f"{backup}.",
            file,
        )
    if is_whole:
        copy = [*there][-1]
        raise DamagedFileError(
            f"{copy} is damaged: it is not the result that it was published as: {file}. Put that "
            "in its place.",
            copy,
        )
