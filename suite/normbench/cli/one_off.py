"""One-off plugin files that a command needs again: found in the store, or asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from normbench.errors import UnknownNameError, UsageError
from normbench.one_off_files import differing_kinds, mentions_files
from normbench.places import store_path
from normbench.specs import RunSpec
from normbench.store import IndexedRow
from normbench.store.plugin_files import find_plugin_file

if TYPE_CHECKING:
    from normbench.cli.options import Invocation
    from normbench.leaderboard.grouping import Wanted
    from normbench.leaderboard.reading import Reader
    from normbench.leaderboard.suites import SuiteRows
    from normbench.plugins import Catalogue, Offer


def place_words(invocation: Invocation, rows: Iterable[IndexedRow]) -> tuple[list[str], str]:
    """Return what a command that trains *rows* ends with, and what it lacks, in a sentence.

    Args:
        invocation: What was typed; its one-off files come first.
        rows: What is to be trained.
    """
    given = [file.absolute() for file in invocation.plugin_files]
    parts = dict.fromkeys(
        part for row in rows if mentions_files(row.text) for part in _one_off(row.spec).items()
    )
    found = {part: find_plugin_file(invocation.store_path, *part) for part in parts}
    files = dict.fromkeys([*given, *filter(None, found.values())])
    words = [word for file in files for word in ("--plugin", str(file))]
    lacking = [" ".join(part) for part, file in found.items() if file is None]
    told = f"Add the file of {', '.join(lacking)}, which no installed plugin has: --plugin FILE."
    return [*invocation.store_words, *words], "" if given or not lacking else told


def differing_sources(invocation: Invocation, rows: Iterable[IndexedRow]) -> list[str]:
    """Return which of *rows*, alike in all that is shown, are of different one-off files."""
    alike: dict[tuple[str, ...], list[tuple[IndexedRow, RunSpec]]] = {}
    for row in rows:
        if mentions_files(row.text) and not row.tuning:
            shown = (row.table, row.norm_label, row.optimizer, str(row.setting))
            alike.setdefault(shown, []).append((row, row.spec))
    found = []
    for members in alike.values():
        if differ := differing_kinds([spec.identity.get("files", {}) for _, spec in members]):
            named = {k: name for _, spec in members for k, name in _one_off(spec).items()}
            names = ", ".join(named[kind] for kind in differ)
            listed = " and ".join(row.row[:8] for row, _ in members)
            words, _ = place_words(invocation, [row for row, _ in members])
            see = shlex.join(["normbench", "leaderboard", *words])
            found.append(f"{listed} differ in the source of {names}; see: {see}")
    return found


def refuse_unloaded(
    invocation: Invocation,
    reader: Reader,
    catalogue: Catalogue,
    chosen: Mapping[str, Any],
    suite: SuiteRows | None,
) -> None:
    """Refuse ``--current`` for rows of which it is not known whether their files were edited.

    Args:
        invocation: What was typed.
        reader: Where the rows are.
        catalogue: Knows the files that are loaded.
        chosen: What else chooses rows.
        suite: The rows of a suite.

    Raises:
        UsageError: If there are some; with the files to load.
    """
    # A table that was made before is shown without what this imports.
    if chosen["current"]:
        from normbench.leaderboard.grouping import Wanted

        refuse_unknown_age(invocation, reader, catalogue, Wanted(**chosen, suite=suite))


def refuse_unknown_age(
    invocation: Invocation, reader: Reader, catalogue: Catalogue, wanted: Wanted
) -> None:
    """Refuse rows *wanted* of which it is not known whether their files were edited.

    Raises:
        UsageError: If there are some; with the files to load.
    """
    from normbench.leaderboard.edited_files import files_of
    from normbench.leaderboard.grouping import chosen_rows

    rows = chosen_rows(reader, catalogue, wanted, lambda _: ())
    unknown = [row for row in rows if row.edited is None and files_of(row)]
    specs = (RunSpec.from_content(row.content) for row in unknown)
    parts = dict.fromkeys(
        (kind, name)
        for spec in specs
        for kind, name in _one_off(spec).items()
        if not any(each.digest for each in _offers(catalogue, kind, name))
    )
    if not parts:
        return
    files = {part: find_plugin_file(invocation.store_path, *part) for part in parts}
    words = dict.fromkeys(shlex.quote(str(file or "FILE")) for file in files.values())
    raise UsageError(
        "--current leaves out rows of plugin files that were edited since, and the "
        f"{'file' if len(words) == 1 else 'files'} of {', '.join(map(' '.join, parts))} "
        f"{'is' if len(words) == 1 else 'are'} not loaded: add "
        f"{' '.join(f'--plugin {word}' for word in words)}"
    )


def _offers(catalogue: Catalogue, kind: str, name: str) -> list[Offer]:
    from normbench.plugins import KINDS

    return [each for each in catalogue.offers(KINDS[kind]) if each.component.name == name]


def file_hint(error: Exception, invocation: Invocation) -> str:
    """Return how a name that *error* does not know is loaded from a file, a space before it.

    Empty if the error is about something else, or says so itself.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UnknownNameError):
        cause = cause.__context__
    if cause is None or not isinstance(error, UsageError):
        return ""
    root = store_path(invocation.store)
    file = find_plugin_file(root, cause.kind, cause.name)
    if file is not None and file not in [each.absolute() for each in invocation.plugin_files]:
        return (
            f" Runs of {root} have {cause.kind} {cause.name!r} from a plugin file. Add: --plugin "
            f"{shlex.quote(str(file))}"
        )
    return "" if "--plugin" in str(error) else " For one in a file of yours: --plugin FILE."


def _one_off(spec: RunSpec) -> Mapping[str, str]:
    """Return the names of the components of *spec* that come from one-off files, by kind."""
    named = {
        "problem": spec.problem.name,
        "network": spec.problem.network.name,
        "dataset": spec.problem.dataset.name,
        "norm": spec.norm.name,
        "optimizer": spec.optimizer.name,
        "protocol": spec.protocol.name,
    }
    return {kind: named.get(kind, "") for kind in spec.identity.get("files", {})}
