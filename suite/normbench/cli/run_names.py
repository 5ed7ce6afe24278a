"""What displays and messages call each run or row: by what tells it from the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.errors import StoreError
from normbench.parameters import typed
from normbench.specs import RunSpec
from normbench.store import RunStore

_Labels = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class RunName:
    """The names of one run.

    Attributes:
        full: What it is and what tells it apart; stands alone, as in a log.
        brief: What tells it apart from the others, and no more.
    """

    full: str
    brief: str


def run_names(store: RunStore, specs: Sequence[RunSpec]) -> dict[str, RunName]:
    """Return the names of runs by fingerprint.

    Args:
        store: Where they are; it knows which of them are trials of a tuning.
        specs: What they are.
    """
    trials = _trials(store, specs)
    several_seeds = len({spec.seed for spec in specs}) > 1
    names = {}
    for spec, (full, brief) in zip(specs, _words(specs, trials), strict=True):
        seed = f"seed {spec.seed}"
        names[spec.fingerprint] = RunName(
            full=" ".join([*full, seed]),
            brief=" ".join([*brief, *([seed] if several_seeds or not brief else [])]),
        )
    return names


def row_names(store: RunStore, specs: Sequence[RunSpec]) -> list[str]:
    """Return the fewest words that tell rows apart; none for a row alone.

    Args:
        store: Where they are; it knows which of them are trials of a tuning.
        specs: A spec of each.
    """
    names = [" ".join(brief) for _, brief in _words(specs, _trials(store, specs))]
    alike = Counter(names)
    return [
        name if alike[name] == 1 else f"{name} row {spec.row[:8]}".lstrip()
        for name, spec in zip(names, specs, strict=True)
    ]


def _words(
    specs: Sequence[RunSpec], trials: Mapping[str, int]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield, of each spec, what it is, and what tells it from the others, the seed aside."""
    # Of many runs, those of one row share their identity.
    rows = {id(spec.identity): spec for spec in specs}
    varying = _varying(list(rows.values()))
    labels = {key: _labels(spec) for key, spec in rows.items()}
    words = {key: _values(spec, varying[labels[key]]) for key, spec in rows.items()}
    differ = [len({label[i] for label in labels.values()}) > 1 for i in range(3)]
    for spec in specs:
        key = id(spec.identity)
        trial, label, values = _trial_words(trials.get(spec.fingerprint)), labels[key], words[key]
        apart = (text for text, shown in zip(label, differ, strict=True) if shown)
        yield [*label, *trial, *values], [*trial, *apart, *values]


def _labels(spec: RunSpec) -> _Labels:
    return spec.problem.name, spec.norm_label, spec.optimizer_label


def _setting(spec: RunSpec) -> dict[str, Any]:
    """Return what may tell a run from another one of the same labels, by word."""
    return {**spec.optimizer.parameters, **dict(w.partition("=")[::2] for w in spec.deviations)}


def _varying(specs: Sequence[RunSpec]) -> dict[_Labels, list[str]]:
    """Return the words whose values differ between runs of the same labels."""
    alike: dict[_Labels, list[dict[str, Any]]] = defaultdict(list)
    for spec in specs:
        alike[_labels(spec)].append(_setting(spec))
    return {
        label: [
            word
            for word in dict.fromkeys(word for setting in settings for word in setting)
            if len({typed(setting.get(word)) for setting in settings}) > 1
        ]
        for label, settings in alike.items()
    }


def _values(spec: RunSpec, words: Sequence[str]) -> list[str]:
    setting = _setting(spec)
    return [f"{word}={_short(setting[word])}" for word in words if word in setting]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else typed(value)


def _trials(store: RunStore, specs: Sequence[RunSpec]) -> Mapping[str, int]:
    """Return the numbers of those that are trials; none where a record cannot be read."""
    runs = {spec.fingerprint for spec in specs if spec.tuning}
    if not runs:
        return {}
    from normbench.tuning.record import trial_numbers

    try:
        return trial_numbers(store, runs)
    except StoreError:
        return {}  # names are no reason to end what trains


def _trial_words(number: int | None) -> list[str]:
    if number is None:
        return []
    return [f"trial {number}" if number else "default setting"]
