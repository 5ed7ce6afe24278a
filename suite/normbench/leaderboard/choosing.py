"""Which rows a table is about: by option, by words that name a row, and one for each cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from normbench.comparable import comparable
from normbench.descriptions import Problem
from normbench.errors import UsageError, not_together, unknown_name
from normbench.leaderboard.reading import ReadRow
from normbench.origins import in_words
from normbench.parameters import typed
from normbench.plugins import Catalogue
from normbench.settings_now import kind_of, stands_for

_ORIGINS = ("known", "published", "default")
_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_NAMES: Mapping[str, Callable[[ReadRow], tuple[str, ...]]] = {
    "problem": lambda row: (row.problem,),
    "norm": lambda row: (row.norm, row.norm_label),
    "optimizer": lambda row: (row.optimizer,),
    "protocol": lambda row: (row.protocol,),
    "setting": lambda row: _setting_words(row.setting_origin),
}


def _setting_words(origin: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(in_words, (kind_of(origin), origin))))


def choose(
    rows: Sequence[ReadRow],
    wanted: Mapping[str, Sequence[str]],
    catalogue: Catalogue,
    among: str = "in this store",
) -> list[ReadRow]:
    """Return the rows whose names are among those *wanted*; no names mean all.

    A problem that is another one at a norm of its own, such as ``X_bn``, stands for that one.

    Args:
        rows: The rows to choose from.
        wanted: Names by what they are names of.
        catalogue: Knows the problems.
        among: What *rows* are, in words, for the error.

    Raises:
        UsageError: If no row has one of the names.
    """
    chosen, before = list(rows), list[str]()
    for name, values in wanted.items():
        if not values:
            continue
        meant = [base_problem(value, catalogue) if name == "problem" else value for value in values]
        known = _named(chosen, name)
        for value in meant:
            if value in known:
                continue
            if value in _named(rows, name):
                term = f"{name} {value}"
                raise not_together("row", before, term, _labelled(chosen, name), among)
            raise unknown_name(f"{name} {among}", value, known)
        chosen = [row for row in chosen if set(meant) & set(_NAMES[name](row))]
        before.append(f"{name} {' or '.join(values)}")
    return chosen


def _named(rows: Iterable[ReadRow], name: str) -> set[str]:
    return {word for row in rows for word in _NAMES[name](row)}


def _labelled(rows: Iterable[ReadRow], name: str) -> set[str]:
    """Return the names of *rows* of one kind, each in the spelling that says most."""
    return {_NAMES[name](row)[-1] for row in rows}


def of_settings(rows: Iterable[ReadRow], settings: Sequence[str]) -> list[ReadRow]:
    """Return the rows whose settings were found in one of these ways; no names mean all."""
    return [
        row for row in rows if not settings or {*settings} & {*_setting_words(row.setting_origin)}
    ]


def base_problem(name: str, catalogue: Catalogue) -> str:
    """Return the problem that *name* equals but for its norm, else *name*."""
    if name not in catalogue.names(Problem):
        return name
    return catalogue.get(Problem, name).base or name


def find_row(rows: Sequence[ReadRow], text: str) -> ReadRow:
    """Return the one row that *text* names.

    A norm by its name alone is that norm as it comes, where there is such a row; of a cell's
    settings the one that stands for it is meant.

    Args:
        rows: The rows to choose among.
        text: Words joined by ``+``: the beginning of a row's fingerprint, names such as
            ``batch_norm+sgd``, or words such as ``norm=batch_norm+lr=0.1``.

    Raises:
        UsageError: If no row has all the words, or several have; the message lists them.
    """
    found, before = list(rows), list[str]()
    for term in filter(None, (part.strip() for part in text.split("+"))):
        matching = [row for row in found if _has(row, term)]
        if not matching and any(_has(row, term) for row in rows):
            raise not_together("row", before, term, _in_place_of(term, found, rows))
        if not matching:
            raise unknown_name("word for a row", term, _known_words(found))
        found = matching
        before.append(term)
    meant = _meant(found, text)
    if meant is None:
        raise UsageError(
            f"{text!r} names {len(found)} rows: expected one. Add a word, or give the beginning of "
            f"a row's fingerprint: {listed(found)}"
        )
    return meant


def _meant(rows: Sequence[ReadRow], text: str) -> ReadRow | None:
    """Return which of the *rows* that have all words of *text* is the one meant, if it is one."""
    if len(rows) == 1:
        return rows[0]
    names = {term.strip().removeprefix("norm=") for term in text.split("+")}
    exact = [row for row in rows if row.plain and row.norm in names] or rows
    cells = {
        (row.problem, row.norm_label, row.optimizer, comparable(row.identity)) for row in exact
    }
    return one_setting(exact) if len(cells) == 1 else None


def listed(rows: Iterable[ReadRow], most: int = 6) -> str:
    """Return rows as a list for a message."""
    shown = [f"{row.row[:8]} ({row_label(row)})" for row in rows]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def row_label(row: ReadRow) -> str:
    """Return problem, norm, optimizer, setting and protocol in a few words."""
    values = [f"{name}={typed(value)}" for name, value in row.setting.items()]
    names = [row.problem, row.norm_label, row.optimizer, *values]
    return " ".join([*names, row.protocol, *row.deviations])


def _has(row: ReadRow, term: str) -> bool:
    name, sign, value = term.partition("=")
    if sign and name in _NAMES:
        return value in _NAMES[name](row)
    if sign:
        return one_spelling(value) == one_spelling(_values(row).get(name, ""))
    if _PREFIX.fullmatch(term.lower()) and row.row.startswith(term.lower()):
        return True
    return any(term in words(row) for words in _NAMES.values())


def _in_place_of(term: str, found: Sequence[ReadRow], rows: Sequence[ReadRow]) -> set[str]:
    """Return what the rows *found* have where some of *rows* have *term*."""
    name, sign, _ = term.partition("=")
    if sign and name not in _NAMES:
        return {f"{name}={_values(row)[name]}" for row in found if name in _values(row)}
    kinds = [name] if sign else [each for each in _NAMES if term in _named(rows, each)]
    if not kinds:
        return {row.row[:8] for row in found}
    return {word for kind in kinds for word in _labelled(found, kind)}


def _known_words(rows: Sequence[ReadRow]) -> set[str]:
    """Return all words that name some of the rows, but for fingerprints."""
    names = {word for row in rows for words in _NAMES.values() for word in words(row)}
    return names | {f"{name}={value}" for row in rows for name, value in _values(row).items()}


def _values(row: ReadRow) -> dict[str, str]:
    """Return what differs from the defaults of optimizer, norm and ablation, as it is typed."""
    parts = {"": row.setting, "norm.": row.identity["norm"]["parameters"]}
    parts["ablation."] = row.identity.get("ablation", {})
    return {
        f"{prefix}{name}": typed(value)
        for prefix, values in parts.items()
        for name, value in values.items()
    }


def one_spelling(text: str) -> str:
    """Return a number in one spelling, other text as it is."""
    try:
        return repr(float(text))
    except ValueError:
        return text


def no_setting(cell: Sequence[ReadRow]) -> str:
    """Return why no row stands for a cell, and what to do."""
    return (
        f"{len(cell)} settings, and none of them is the one that is known now, or untuned: "
        f"{listed(cell)}; train that one with: normbench run"
    )


def one_setting(cell: Sequence[ReadRow]) -> ReadRow | None:
    """Return the row that stands for a cell, by where its setting comes from, never by its scores.

    That is the one that is known now of this cell, else the published one, else the optimizer's
    defaults, else the only one; None if several are left. Rows of a one-off file as it was before
    stand for a cell only where it has no others.
    """
    cell = [row for row in cell if not row.edited] or cell
    for origin in _ORIGINS:
        found = [row for row in cell if stands_for(row.setting_origin, origin)]
        if len(found) == 1:
            return found[0]
    return cell[0] if len(cell) == 1 else None
