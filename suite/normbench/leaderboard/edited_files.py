"""Rows alike but for a one-off plugin file that was edited between them: which is which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from normbench.leaderboard.naming import row_digits
from normbench.leaderboard.reading import ReadRow
from normbench.one_off_files import differing_kinds, mentions_files
from normbench.plugins import KINDS, Catalogue


def edited_files(rows: Sequence[ReadRow]) -> Iterator[str]:
    """Yield which of *rows* differ in the source of what a one-off file offers.

    Rows with the same norm, optimizer and hyper-parameters are told. All of them are compared and
    counted: whoever edits a file until a row is better has tried each version of it.

    Args:
        rows: The rows of a table, as they are known now.
    """
    for members in _alike(rows):
        if differ := differing_kinds([files_of(row) for row in members]):
            parts = [_name(members[0], kind) for kind in differ]
            yield (
                f"{_listed(members)} differ in the source of {', '.join(parts)}: {_which(members)}."
            )


def how_to_leave_out(rows: Sequence[ReadRow]) -> str:
    """Return what becomes of those of *rows* whose files were edited since, in a sentence."""
    if not any(row.edited for row in rows):
        return ""
    return (
        "Rows of a file as it was before count in the corrections as any other; --current shows "
        "only those of the files as they are now."
    )


def edited_since(row: ReadRow, catalogue: Catalogue) -> bool | None:
    """Whether a one-off file that a row was trained with was edited since.

    None where there is no such file, or one of them is not loaded.
    """
    files = files_of(row)
    now = {kind: _digest(catalogue, kind, _name(row, kind)) for kind in files}
    if any(digest and digest != files[kind] for kind, digest in now.items()):
        return True
    return False if files and all(now.values()) else None


def _alike(rows: Sequence[ReadRow]) -> list[list[ReadRow]]:
    """Return the rows that differ in no name and no hyper-parameter, where there are several."""
    found: dict[tuple[str, ...], list[ReadRow]] = {}
    for row in rows:
        names = (row.norm_label, row.optimizer, *(f"{k}={v}" for k, v in row.setting.items()))
        found.setdefault(names, []).append(row)
    return [members for members in found.values() if len(members) > 1]


def files_of(row: ReadRow) -> Mapping[str, str]:
    """Return the digests of the one-off files that components of a row are from, by kind."""
    return row.identity.get("files", {}) if mentions_files(row.text) else {}


def _name(row: ReadRow, kind: str) -> str:
    content = row.content
    parts = content["problem"] if kind in ("dataset", "network") else content
    name: str = parts[kind]["name"]
    return name


def _digest(catalogue: Catalogue, kind: str, name: str) -> str:
    offers = [each for each in catalogue.offers(KINDS[kind]) if each.component.name == name]
    return offers[0].digest if offers else ""


def _which(rows: Sequence[ReadRow]) -> str:
    now = [row for row in rows if row.edited is False]
    if now:
        return f"{_listed(now)} is of the file as it is now"
    if any(row.edited for row in rows):
        return "none of them is of the file as it is now"
    return "which is of the file as it is now is told where it is loaded with --plugin"


def _listed(rows: Sequence[ReadRow]) -> str:
    names = [row_digits(row) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
