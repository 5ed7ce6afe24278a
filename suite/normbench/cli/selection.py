"""Which runs of a store a command is about: by fingerprint, or by words such as norm=batch_norm."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from normbench.descriptions import Problem
from normbench.errors import DamagedFileError, UsageError, not_together, unknown_name
from normbench.parameters import typed
from normbench.store import Index, IndexedRow, IndexedRun, RunStore, StoredRun
from normbench.store.layout import run_path

_WORDS: Mapping[str, Callable[[IndexedRow], tuple[str, ...]]] = {
    "problem": lambda row: (row.problem,),
    "norm": lambda row: (row.norm, row.norm_label),
    "optimizer": lambda row: (row.optimizer,),
    "protocol": lambda row: (row.protocol,),
    "sites": lambda row: (row.spec.mask_label,),
    "ablation": lambda row: (row.spec.ablation.train,),
}
_SECTIONS: Mapping[str, Callable[[IndexedRow], Mapping[str, Any]]] = {
    "": lambda row: row.spec.optimizer.parameters,
    "norm": lambda row: row.spec.norm.parameters,
    "network": lambda row: row.spec.problem.network.parameters,
    "problem": lambda row: vars(row.spec.problem.training),
    "protocol": lambda row: vars(row.spec.protocol.rules),
    "ablation": lambda row: vars(row.spec.ablation),
}
WORDS = tuple(_WORDS)

_log = logging.getLogger(__name__)

# What specs without their seeds say, by digest.
_Rows = Mapping[str, IndexedRow]


def find_runs(store: RunStore, terms: Sequence[str]) -> list[StoredRun]:
    """Return the runs that *terms* name, in an order that does not depend on the file system.

    Args:
        store: Where to look.
        terms: Prefixes of fingerprints of runs or rows, any of which may match, and words
            ``NAME=VALUE``, all of which must; no prefix means every run. A word may give several
            values, separated by commas: ``norm=none,batch_norm``. Parameters are words, too:
            ``lr=0.1``.

    Raises:
        UsageError: If a term matches nothing; the message says what there is.
        StoreError: If one of them cannot be read; of others that cannot, a warning tells.
    """
    index = store.index()
    needed = set(damaged_among(index, terms))
    for fingerprint, problem in sorted(index.damaged.items()):
        if fingerprint in needed:
            raise DamagedFileError(problem, run_path(index.root, fingerprint))
    for sentence in index.left_out():
        _log.warning("%s", sentence)
    return [index.stored(run) for run in find_indexed(index, terms)]


def damaged_among(index: Index, terms: Sequence[str]) -> Iterator[str]:
    """Yield the damaged runs of the *index* that *terms* name, by fingerprint."""
    words = [term for term in terms if "=" in term]
    prefixes = tuple(term for term in terms if "=" not in term)
    if not words:
        yield from (name for name in index.unplaced if not prefixes or name.startswith(prefixes))
    for run in index.lost.values():
        if prefixes and not (run.fingerprint.startswith(prefixes) or run.row.startswith(prefixes)):
            continue
        rows: _Rows = {run.description: index.describe(run)}
        # A word that fits nothing here may fit other runs.
        with contextlib.suppress(UsageError):
            for word in words:
                rows = _by_word(rows, word)
            yield run.fingerprint


def find_indexed(index: Index, terms: Sequence[str]) -> list[IndexedRun]:
    """Return what the *index* knows of the runs that *terms* name, as :func:`find_runs` does.

    Raises:
        UsageError: If a term matches nothing; the message says what there is.
    """
    words = [term for term in terms if "=" in term]
    prefixes = [term for term in terms if "=" not in term]
    runs = _by_prefix(index, prefixes) if prefixes else list(index.runs.values())
    if words:
        everything: _Rows = {run.description: index.describe(run) for run in runs}
        rows = everything
        for place, word in enumerate(words):
            rows = _narrowed(rows, word, everything, words[:place])
        runs = [run for run in runs if run.description in rows]
    return index.in_order(runs)


def _by_prefix(index: Index, prefixes: Sequence[str]) -> list[IndexedRun]:
    found: dict[str, IndexedRun] = {}
    for prefix in prefixes:
        matching = index.find(prefix)
        if not matching:
            raise UsageError(
                f"no run or row of {index.root} begins with {prefix!r}: expected at least 4 digits "
                "of a fingerprint, or words such as problem=NAME. See: normbench status --json"
            )
        found.update({run.fingerprint: run for run in matching})
    return list(found.values())


def _narrowed(rows: _Rows, word: str, everything: _Rows, before: Sequence[str]) -> _Rows:
    """Return those of *rows*, which have the words *before*, that have *word* as well.

    Raises:
        UsageError: If none has; whether others of *everything* have is said.
    """
    try:
        return _by_word(rows, word)
    except UsageError:
        # Raises what is to be said of a word that no row has.
        _by_word(everything, word)
    name = word.partition("=")[0]
    known = (
        (_WORDS[name](row)[-1] for row in rows.values())
        if name in _WORDS
        else _values(rows, name).values()
    )
    raise not_together("run", before, word, known, "in this store")


def _by_word(rows: _Rows, word: str) -> _Rows:
    name, _, value = word.partition("=")
    if name not in _WORDS:
        return _by_value(rows, name, value)
    if name == "problem" and (twin := _twin(value)):
        return _by_word(_by_word(rows, f"problem={twin.base}"), f"norm={twin.norm}")
    matching: dict[str, IndexedRow] = {}
    for wanted in value.split(","):
        found = {key: row for key, row in rows.items() if wanted in _WORDS[name](row)}
        if not found:
            known = {_WORDS[name](row)[0] for row in rows.values()}
            raise unknown_name(f"{name} in this store", wanted, known)
        matching.update(found)
    return matching


def _by_value(rows: _Rows, name: str, value: str) -> _Rows:
    """Return the rows in which a parameter, such as ``lr`` or ``problem.batch_size``, has a value.

    Several values are separated by commas.
    """
    values = _values(rows, name)
    if not values:
        raise unknown_name("word", name, _WORDS)
    wanted = {_one_spelling(each) for each in value.split(",")}
    matching = {
        key: row for key, row in rows.items() if _one_spelling(values.get(key, "")) in wanted
    }
    if not matching:
        raise unknown_name(f"{name} in this store", value, values.values())
    return matching


def _values(rows: _Rows, name: str) -> dict[str, str]:
    """Return the value that a parameter has in each of the *rows* that have it, as it is typed."""
    section, _, field = name.rpartition(".")
    return {
        key: typed(_SECTIONS[section](row)[field])
        for key, row in rows.items()
        if section in _SECTIONS and field in _SECTIONS[section](row)
    }


def _one_spelling(text: str) -> str:
    """Return a number in one spelling, other text as it is."""
    try:
        return repr(float(text))
    except ValueError:
        return text


def _twin(problem: str) -> Problem | None:
    """Return the problem *problem* if it is another one at a norm of its own."""
    # Most selections need no plugin.
    from normbench.plugins import load_catalogue

    catalogue = load_catalogue()
    if problem not in catalogue.names(Problem):
        return None
    found = catalogue.get(Problem, problem)
    return found if found.base else None
