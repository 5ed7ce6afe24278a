"""Merging stores: runs trained elsewhere come home, as often as one likes.

Attempts keep their numbers and arrive as ``NNNN.merged-TAG``, where TAG names the attempt in every
store. They never count for leases, so runs may be at work on either side meanwhile. That a run was
cancelled comes along only with a run that is new here; what was decided here about others stands.
Studies, known settings and tests of a precision come along where there is none of the name. So do
declared stages, with what was decided; of a row that had results here by then, which may have been
looked at, they say so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from normbench.errors import DamagedFileError, StoreError, UsageError
from normbench.quantities import counted
from normbench.setting_files import SETTINGS_FOLDER
from normbench.store.archive import extract_store
from normbench.store.checkpoints import find_checkpoint
from normbench.store.decisions import record_decision
from normbench.store.declarations import (
    Declaration,
    declare,
    read_declarations,
    readable_declarations,
)
from normbench.store.files import (
    explain,
    explained,
    is_gone,
    is_temporary,
    open_folder,
    read_bytes,
    remove_tree,
    write_once,
)
from normbench.store.folders import (
    CANCEL_FILE,
    OUTCOME_FILE,
    RESULT_FILE,
    AttemptFolder,
    list_attempts,
    merged_path,
)
from normbench.store.journal import JOURNAL_FILE
from normbench.store.layout import (
    TUNING_FOLDER,
    VERIFIED_FOLDER,
    install_run,
    list_names,
    prepare_run,
    run_path,
    unmake_store,
)
from normbench.store.leases import HEARTBEAT_FILE, Lease
from normbench.store.run import StoredRun
from normbench.store.series import bring_series
from normbench.store.shown import bring_shown
from normbench.store.store import RunStore

_WORK_FOLDER = ".merge-"
_TAG_LENGTH = 8


@dataclass(frozen=True)
class MergeReport:
    """What a merge did, in runs.

    Attributes:
        added: Runs that the target did not have.
        kept: Runs that were left as they are.
        updated: Runs that got a result, series, or an attempt to continue from.
        failed: Runs that were left out, since a file of theirs is damaged.
        problems: What is wrong with each of them, in a sentence.
    """

    added: int = 0
    kept: int = 0
    updated: int = 0
    failed: int = 0
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the counts in one line."""
        words = f"{counted(self.added, 'run')} added, {self.updated} updated, {self.kept} kept"
        return f"{words}, {self.failed} failed" if self.failed else words


def merge_into(root: Path, source: Path) -> tuple[RunStore, MergeReport]:
    """Do what :func:`merge_store` does, in the store *root*; make it if need be.

    Nothing is left of a store that was made only for a merge that failed.

    Raises:
        StoreError: As :func:`merge_store`.
        UsageError: If both are the same store.
    """
    there, there_before = RunStore.open_if_there(root), root.exists()
    store = there or RunStore.open(root, create=True)
    try:
        return store, merge_store(source, store)
    except Exception:
        if there is None:
            unmake_store(root)
            if not there_before and not list_names(root):
                root.rmdir()
        raise


def merge_store(source: Path, target: RunStore) -> MergeReport:
    """Copy runs, attempts and results that *target* lacks into it.

    A published result in the target is never touched. Merging again changes nothing. A run with a
    damaged file, or whose declared stages cannot be read, is left out and counted; the others come.

    Args:
        source: Folder of a store, or a tar archive of one.
        target: The store to complete.

    Raises:
        StoreError: If the source is not a store or holds what a store never does, or the target
            cannot be written.
        UsageError: If both are the same store.
    """
    if source.is_dir() and source.resolve() == target.root.resolve():
        raise UsageError(f"{source} cannot be merged into itself. Give another store.")
    with target.lock("merge", wait=None), _work_folder(target.root) as work:
        folder = source
        if source.is_file():
            folder = work / "source"
            extract_store(source, folder)
        runs = sorted(RunStore.open(folder).runs(), key=lambda run: run.fingerprint)
        theirs, unread = readable_declarations(folder)
        declared = _new_declarations(theirs, target)
        problems: list[str] = []
        with explained("merge into", target.root):
            # Before the runs, as where they were made: no result of theirs comes first.
            for declaration in declared:
                declare(target.root, declaration)
            _bring_decisions(theirs, target.root)
            bring_shown(folder, target.root)
            done = [_try_run(run, target.root, work, unread, problems) for run in runs]
            for name in (TUNING_FOLDER, SETTINGS_FOLDER, VERIFIED_FOLDER):
                _bring_files(folder / name, target.root / name)
    return MergeReport(
        added=done.count("added"),
        kept=done.count("kept"),
        updated=done.count("updated"),
        failed=done.count("failed"),
        problems=tuple(problems),
    )


@contextmanager
def _work_folder(root: Path) -> Iterator[Path]:
    """Make a folder for preparations in the store, where renaming works; sweep older ones."""
    with explained("merge into", root):
        for left in root.glob(f"{_WORK_FOLDER}*"):
            remove_tree(left)
        work = Path(tempfile.mkdtemp(prefix=_WORK_FOLDER, dir=root))
    try:
        yield work
    finally:
        remove_tree(work)


def _try_run(
    run: StoredRun,
    root: Path,
    work: Path,
    unread: Mapping[str, StoreError],
    problems: list[str],
) -> str:
    """Merge a run; if that cannot be done for a damaged file, add what is wrong to *problems*.

    Args:
        run: The run.
        root: Folder of the target.
        work: Folder for preparations.
        unread: By row, why the stages declared in the source are not known: its runs would come
            without them.
        problems: Sentences.
    """
    try:
        if error := unread.get(run.spec.row):
            raise error
        return _merge_run(run, root, work)
    except DamagedFileError as error:
        problems.append(f"run {run.fingerprint[:8]} was left out: {error}")
        return "failed"


def _merge_run(run: StoredRun, root: Path, work: Path) -> str:
    run.result()
    path = run_path(root, run.fingerprint)
    added = False
    if not path.exists():
        prepare_run(work / run.fingerprint, run.spec)
        path.parent.mkdir(exist_ok=True)
        added = install_run(work / run.fingerprint, path)
    if added:
        _bring_mark(run.path, path)
    if (path / RESULT_FILE).exists():
        return "updated" if bring_series(run.path, path) else "kept"
    changed = _bring_attempts(run.path, path, work)
    changed |= _bring_result(run.path, path)
    changed |= bring_series(run.path, path)
    if added:
        return "added"
    return "updated" if changed else "kept"


def _new_declarations(theirs: Mapping[str, Declaration], target: RunStore) -> list[Declaration]:
    """Return those of *theirs* that *target* lacks, marked if it has results that count."""
    known = read_declarations(target.root)
    new = [each for row, each in theirs.items() if row not in known]
    if not new:
        return []
    counting = {each.row: set(each.seeds) for each in new}
    late = {
        run.row
        for run in target.index().runs.values()
        if run.done and run.seed in counting.get(run.row, ())
    }
    return [replace(each, late=each.late or each.row in late) for each in new]


def _bring_decisions(declared: Mapping[str, Declaration], target: Path) -> None:
    """Record what was decided about rows that both declare alike."""
    here = read_declarations(target)
    for row, theirs in declared.items():
        alike = replace(theirs, late=here[row].late, decision=here[row].decision) == here[row]
        if alike and theirs.decision is not None:
            record_decision(target, row, theirs.decision)


def _bring_files(source: Path, target: Path) -> None:
    """Copy the files that *target* lacks."""
    wanted = [name for name in list_names(source) if not is_temporary(name)]
    if not wanted:
        return
    target.mkdir(exist_ok=True)
    with open_folder(target) as folder:
        for name in wanted:
            if (data := read_bytes(source / name)) is not None:
                write_once(name, data, folder=folder)


def _bring_mark(source: Path, target: Path) -> None:
    data = read_bytes(source / CANCEL_FILE)
    if data is not None:
        with open_folder(target) as folder:
            write_once(CANCEL_FILE, data, folder=folder)


def _bring_attempts(source: Path, target: Path, work: Path) -> bool:
    """Copy the attempts that *target* lacks or has less of; whether there were any."""
    published = read_bytes(source / RESULT_FILE)
    own = {_tag(attempt) for attempt in list_attempts(target) if not attempt.tag}
    changed = False
    for attempt in list_attempts(source):
        tag = _tag(attempt)
        needed = published is not None and read_bytes(attempt.path / RESULT_FILE) == published
        place = merged_path(target, attempt.number, tag)
        if (tag not in own or needed) and _progress(attempt.path) > _progress(place):
            _copy_attempt(attempt.path, place, work)
            changed = True
    return changed


def _bring_result(source: Path, target: Path) -> bool:
    data = read_bytes(source / RESULT_FILE)
    if data is None:
        return False
    with open_folder(target) as folder:
        return write_once(RESULT_FILE, data, folder=folder)


def _tag(attempt: AttemptFolder) -> str:
    """Name the attempt, the same in every store it was ever merged into."""
    return attempt.tag or Lease.read(attempt.path).token[:_TAG_LENGTH].ljust(_TAG_LENGTH, "0")


def _progress(folder: Path) -> tuple[bool, bool, int, int]:
    """Return how far an attempt came; of two states of one attempt, the later is greater."""
    checkpoint = find_checkpoint(folder)
    try:
        written = (folder / JOURNAL_FILE).stat().st_size
    except OSError:
        written = -1
    return (
        (folder / RESULT_FILE).exists(),
        (folder / OUTCOME_FILE).exists(),
        checkpoint.epoch if checkpoint else -1,
        written,
    )


def _copy_attempt(source: Path, place: Path, work: Path) -> None:
    """Copy an attempt, which may still be written to, and put it in place as a whole."""
    prepared = work / place.name
    _copy_tree(source, prepared)
    if place.exists():
        place.rename(work / f"{place.name}.old")
    prepared.rename(place)
    remove_tree(work / f"{place.name}.old")


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                _copy_tree(Path(entry.path), target / entry.name)
            elif entry.is_file(follow_symlinks=False) and _is_wanted(entry.name):
                _copy_file(Path(entry.path), target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        if is_gone(error):
            return  # its worker replaced it meanwhile
        raise explain("read", source, error) from error
    with stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _is_wanted(name: str) -> bool:
    return name != HEARTBEAT_FILE and not is_temporary(name)
