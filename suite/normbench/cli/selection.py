"""Which runs of a store a command is about: by fingerprint, or by words such as norm=batch_norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from normbench.descriptions import Problem
from normbench.errors import UsageError, unknown_name
from normbench.parameters import typed
from normbench.plugins import load_catalogue
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun

_WORDS: Mapping[str, Callable[[RunSpec], tuple[str, ...]]] = {
    "problem": lambda spec: (spec.problem.name,),
    "norm": lambda spec: (spec.norm.name, spec.norm_label),
    "optimizer": lambda spec: (spec.optimizer.name,),
    "protocol": lambda spec: (spec.protocol.name,),
    "sites": lambda spec: (spec.mask_label,),
    "ablation": lambda spec: (spec.ablation.train,),
}
_SECTIONS: Mapping[str, Callable[[RunSpec], Mapping[str, Any]]] = {
    "": lambda spec: spec.optimizer.parameters,
    "norm": lambda spec: spec.norm.parameters,
    "network": lambda spec: spec.problem.network.parameters,
    "problem": lambda spec: vars(spec.problem.training),
    "protocol": lambda spec: vars(spec.protocol.rules),
    "ablation": lambda spec: vars(spec.ablation),
}
WORDS = tuple(_WORDS)


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
    """
    words = [term for term in terms if "=" in term]
    prefixes = [term for term in terms if "=" not in term]
    runs = _by_prefix(store, prefixes) if prefixes else list(store.runs())
    for word in words:
        runs = _by_word(runs, word)
    return sorted(runs, key=_order)


def _by_prefix(store: RunStore, prefixes: Sequence[str]) -> list[StoredRun]:
    found: dict[str, StoredRun] = {}
    for prefix in prefixes:
        matching = store.find(prefix)
        if not matching:
            raise UsageError(
                f"no run or row of {store.root} begins with {prefix!r}: expected at least 4 digits "
                "of a fingerprint, or words such as problem=NAME. See: normbench status --json"
            )
        found.update({run.fingerprint: run for run in matching})
    return list(found.values())


def _by_word(runs: Sequence[StoredRun], word: str) -> list[StoredRun]:
    name, _, value = word.partition("=")
    if name not in _WORDS:
        return _by_value(runs, name, value)
    if name == "problem" and (twin := _twin(value)):
        return _by_word(_by_word(runs, f"problem={twin.base}"), f"norm={twin.norm}")
    matching: dict[str, StoredRun] = {}
    for wanted in value.split(","):
        found = [run for run in runs if wanted in _WORDS[name](run.spec)]
        if not found:
            known = {_WORDS[name](run.spec)[0] for run in runs}
            raise unknown_name(f"{name} in this store", wanted, known)
        matching.update({run.fingerprint: run for run in found})
    return list(matching.values())


def _by_value(runs: Sequence[StoredRun], name: str, value: str) -> list[StoredRun]:
    """Return the runs in which a parameter, such as ``lr`` or ``problem.batch_size``, has a value.

    Several values are separated by commas.
    """
    section, _, field = name.rpartition(".")
    values = {
        run.fingerprint: typed(_SECTIONS[section](run.spec)[field])
        for run in runs
        if section in _SECTIONS and field in _SECTIONS[section](run.spec)
    }
    if not values:
        raise unknown_name("word", name, _WORDS)
    wanted = {_one_spelling(each) for each in value.split(",")}
    matching = [run for run in runs if _one_spelling(values.get(run.fingerprint, "")) in wanted]
    if not matching:
        raise unknown_name(f"{name} in this store", value, values.values())
    return matching


def _one_spelling(text: str) -> str:
    """Return a number in one spelling, other text as it is."""
    try:
        return repr(float(text))
    except ValueError:
        return text


def _twin(problem: str) -> Problem | None:
    """Return the problem *problem* if it is another one at a norm of its own."""
    catalogue = load_catalogue()
    if problem not in catalogue.names(Problem):
        return None
    found = catalogue.get(Problem, problem)
    return found if found.base else None


def _order(run: StoredRun) -> tuple[str, ...]:
    spec = run.spec
    names = (spec.problem.name, spec.protocol.name, spec.norm_label, spec.optimizer.name)
    return (*names, spec.row, f"{spec.seed:010d}")
