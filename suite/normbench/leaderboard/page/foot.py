"""The foot of a page: the protocols' rules, versions, hardware, and hashes of what was compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from normbench.leaderboard.ablations import Ablation
from normbench.leaderboard.board import Board
from normbench.leaderboard.comparison import Duel
from normbench.leaderboard.page.markup import Markup, element
from normbench.leaderboard.page.tables import listed, plain_table
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.sheets import Sheet
from normbench.parameters import typed
from normbench.rules import Rules

_KINDS = ("problem", "norm", "optimizer")
_SUMMARIES = {field.name: field.metadata.get("summary", "") for field in fields(Rules)}


def foot(subjects: Sequence[object]) -> Markup:
    """Return rules, versions and hashes of what *subjects* show; nothing if they show no rows."""
    rows = [row for subject in subjects for row in rows_of(subject)]
    boards = [subject for subject in subjects if isinstance(subject, Board)]
    if not rows:
        return Markup("")
    parts = [element("h2", "How it was made"), listed(_versions(rows))]
    parts += [listed(_provenance(boards))] if boards else []
    parts += [_rules(name, rules) for name, rules in _protocols(rows).items()]
    return element("footer", *parts)


def rows_of(subject: object) -> Sequence[ReadRow]:
    """Return the rows that a board, an ablation or a comparison of two is made of."""
    if isinstance(subject, Board):
        return [entry.row for entry in subject.entries]
    if isinstance(subject, Duel):
        return [subject.new, subject.base]
    return subject.rows if isinstance(subject, Ablation) else []


def _versions(rows: Iterable[ReadRow]) -> Iterator[str]:
    """Yield the versions of problems, norms and optimizers: rows of other versions differ."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in _KINDS}
    for row in rows:
        for kind in _KINDS:
            part = row.identity.get(kind, {})
            version = part.get("version")
            shown = f"{part.get('name')}{'' if version is None else f' {version}'}"
            found[kind][shown] = None
    for kind, names in found.items():
        yield f"{kind.capitalize()}s with their versions: {', '.join(sorted(names))}."


def _provenance(boards: Sequence[Board]) -> Iterator[str]:
    kinds = (
        ("Hardware", "hardware"),
        ("Packages", "versions"),
        ("Commit of normbench", "commits"),
    )
    for title, name in kinds:
        counts: dict[str, int] = {}
        for board in boards:
            for value, count in getattr(board.provenance, name).items():
                counts[value] = counts.get(value, 0) + count
        shown = [f"{value} ({count} runs)" for value, count in sorted(counts.items()) if value]
        if shown:
            yield f"{title}: {'; '.join(shown)}."
    for board in boards:
        yield f"Hash of the values of {board.title}: {board.digest}."


def _protocols(rows: Iterable[ReadRow]) -> dict[str, Mapping[str, Any]]:
    """Return the rules of each protocol with what changed them, by its name and version."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        protocol = row.identity["protocol"]
        words = " ".join([str(protocol["name"]), *row.deviations])
        name = f"Protocol {words}, version {protocol['version']}, {protocol['precision']}"
        found.setdefault(name, row.rules)
    return found


def _rules(name: str, rules: Mapping[str, Any]) -> Markup:
    lines = tuple(
        (rule, typed(value), str(_SUMMARIES.get(rule, ""))) for rule, value in sorted(rules.items())
    )
    shown = plain_table(Sheet(("rule", "value", "what it says"), lines))
    return element("details", element("summary", name), shown)
