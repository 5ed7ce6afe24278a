"""Studies in a store: ``STORE/tuning/<id>.json``, written before their trials are trained.

The file says what was drawn and which runs belong to it; what became of them is in the runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import normbench
from normbench.descriptions import Metric
from normbench.errors import StoreError, UsageError, what_is_wrong
from normbench.parameters import Search, Value
from normbench.store import RunState, RunStore
from normbench.store.files import explained, open_folder, read_json, to_json, write_whole
from normbench.store.layout import TUNING_FOLDER
from normbench.store.untaken import damaged_record
from normbench.tuning.plan import Plan
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import DEFAULT_NUMBER, Study, Trial

SCHEMA = 1
_LOCK = "tuning"


def read_trials(
    store: RunStore, study: str, *, trials: int, seeds: Sequence[int]
) -> tuple[Trial, ...]:
    """Return the first *trials* that are recorded for *study*; one may lack some of the *seeds*.

    Raises:
        StoreError: If the record cannot be read.
    """
    content = _read(_path(store, study))
    if content is None:
        return ()
    metric, select = Metric(**content["metric"]), content["select"]
    drawn = (_trial(store, each, seeds, metric, select) for each in content["trials"][:trials])
    return tuple(
        each if each.runs.keys() >= set(seeds) else replace(each, runs={}) for each in drawn
    )


def write_drawn(store: RunStore, plan: Plan, trials: Sequence[Trial], default: Trial) -> None:
    """Record *trials*; those recorded before stay, and so do their runs at other seeds.

    Raises:
        StoreError: If the store cannot be written, or another process has drawn other trials.
    """
    path = _path(store, plan.id)
    with explained("record the study at", path):
        path.parent.mkdir(exist_ok=True)
    with store.lock(_LOCK, wait=None):
        before = _read(path) or {"trials": [], "default": {"runs": {}}}
        kept = {trial["number"]: trial for trial in before["trials"]}
        for trial in trials:
            kept[trial.number] = _merged(path, kept.get(trial.number), trial)
        runs = {
            "default": _merged(path, {**before["default"], "values": default.values}, default),
            "trials": [kept[number] for number in sorted(kept)],
        }
        same = {name: before[name] for name in runs} == runs
        concluded = before.get("concluded", 0) if same else 0
        _write(path, {**_head(plan), **runs, "concluded": concluded})


def conclude(store: RunStore, study: Study) -> None:
    """Record that all trials of *study* were judged, whatever came of it.

    Raises:
        StoreError: If the store cannot be written.
    """
    path = _path(store, study.id)
    with store.lock(_LOCK, wait=None):
        content = _read(path)
        if content is not None and content.get("concluded", 0) < len(study.trials):
            _write(path, {**content, "concluded": len(study.trials)})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with explained("record the study at", path), open_folder(path.parent) as folder:
        write_whole(path.name, to_json(content), folder=folder)


def read_study(
    store: RunStore, study: str, *, trials: int | None = None, seeds: Sequence[int] | None = None
) -> Study:
    """Return a recorded study with what has become of its trials.

    Args:
        store: Where it is.
        study: The beginning of its name.
        trials: How many of its trials, the first ones; None for all.
        seeds: Which tuning seeds; None for those that all trials have.

    Raises:
        UsageError: If there is none of that name, or several.
        StoreError: If its record cannot be read.
    """
    path = _find(store, study)
    content = _read(path) or {}
    try:
        return _study(store, content, trials, seeds)
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged_record(path, what_is_wrong(error)) from error


def _study(
    store: RunStore, content: Mapping[str, Any], trials: int | None, seeds: Sequence[int] | None
) -> Study:
    drawn = content["trials"][:trials]
    chosen = seeds if seeds is not None else _shared_seeds([content["default"], *drawn])
    metric, select = Metric(**content["metric"]), content["select"]
    return Study(
        id=content["id"],
        problem=content["problem"],
        norm=content["norm"],
        norm_label=content["norm_label"],
        optimizer=content["optimizer"],
        protocol=content["protocol"],
        deviations=tuple(content["deviations"]),
        fixed=_values(content["fixed"]),
        space=Space(tuple(_axis(axis) for axis in content["space"])),
        method=content["method"],
        draw_seed=content["draw_seed"],
        tuning_seeds=tuple(chosen),
        metric=metric,
        select=select,
        trials=tuple(_trial(store, each, chosen, metric, select) for each in drawn),
        default=_trial(store, content["default"], chosen, metric, select),
        budget=content.get("budget", len(content["trials"])),
        commands={name: tuple(words) for name, words in content.get("commands", {}).items()},
    )


def studies(store: RunStore) -> list[str]:
    """Return the names of all studies in *store*, sorted."""
    return sorted(path.stem for path in (store.root / TUNING_FOLDER).glob("*.json"))


def trial_numbers(store: RunStore, fingerprints: Collection[str]) -> dict[str, int]:
    """Return which trial each run is, 0 being the default setting; runs of none are left out.

    Of studies that share runs the one that was drawn last counts.

    Raises:
        StoreError: If a record cannot be read.
    """
    found: dict[str, int] = {}
    paths = [_path(store, study) for study in studies(store)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        content = _read(path) or {"trials": [], "default": {"runs": {}}}
        entries = [{**content["default"], "number": DEFAULT_NUMBER}, *content["trials"]]
        for entry in entries:
            mine = set(entry["runs"].values()).intersection(fingerprints)
            found.update(dict.fromkeys(mine, entry["number"]))
    return found


def _head(plan: Plan) -> dict[str, Any]:
    base = plan.base
    return {
        "schema": SCHEMA,
        "written_by": normbench.__version__,
        "id": plan.id,
        "problem": base.problem.name,
        "norm": base.norm.name,
        "norm_label": base.norm_label,
        "optimizer": base.optimizer.name,
        "protocol": base.protocol.name,
        "deviations": list(base.deviations),
        "fixed": dict(plan.fixed),
        "space": [dataclasses.asdict(axis) for axis in plan.space],
        "method": plan.method.name,
        "draw_seed": plan.draw_seed,
        "budget": plan.budget,
        "commands": {name: list(words) for name, words in plan.commands.items()},
        "metric": dataclasses.asdict(base.problem.metric),
        "select": base.protocol.rules.select,
    }


def _merged(path: Path, before: Mapping[str, Any] | None, trial: Trial) -> dict[str, Any]:
    """Return the entry of *trial* with the runs that it had *before*."""
    runs = dict(before["runs"]) if before else {}
    values = {word: list(v) if isinstance(v, tuple) else v for word, v in trial.values.items()}
    if before and before["values"] != values:
        raise StoreError(
            f"{path} holds another trial {trial.number} than was drawn now: {before['values']}, "
            f"not {values}. Another process tunes this cell: wait for it, then tune again."
        )
    runs.update((str(seed), fingerprint) for seed, fingerprint in trial.runs.items())
    return {"number": trial.number, "values": values, "runs": runs}


def _trial(
    store: RunStore, entry: Mapping[str, Any], seeds: Iterable[int], metric: Metric, select: str
) -> Trial:
    runs = {seed: entry["runs"][str(seed)] for seed in seeds if str(seed) in entry["runs"]}
    scores: dict[int, float] = {}
    tests: dict[int, float] = {}
    diverged: set[int] = set()
    for seed, fingerprint in runs.items():
        run = store.get(fingerprint)
        result = run.result() if run is not None else None
        if result is None:
            continue
        if result["outcome"] == RunState.DIVERGED:
            diverged.add(seed)
            continue
        point = result["best" if select == "best" else "final"]
        scores[seed] = _score(point, "validation", metric, fingerprint)
        tests[seed] = _score(point, metric.name.partition("_")[0], metric, fingerprint)
    return Trial(
        number=entry["number"],
        values=_values(entry["values"]),
        runs=runs,
        scores=scores,
        tests=tests,
        diverged=frozenset(diverged),
    )


def _score(point: Mapping[str, Any], part: str, metric: Metric, run: str) -> float:
    """Return the score of a part of a curve point; a loss is bounded as the result's is."""
    name = metric.name.partition("_")[2]
    if name not in point.get(part, {}):
        raise StoreError(
            f"run {run[:8]} has no {part} {name} to choose by. Delete its folder and tune again."
        )
    value = float(point[part][name])
    return min(value, metric.worst) if metric.direction == "min" else value


def _shared_seeds(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    shared = set.intersection(*({int(seed) for seed in entry["runs"]} for entry in entries))
    return sorted(shared)


def _find(store: RunStore, prefix: str) -> Path:
    found = [name for name in studies(store) if name.startswith(prefix)]
    if len(found) != 1:
        there = "several studies begin" if found else "no study begins"
        raise UsageError(
            f"{there} with {prefix!r} in {store.root}. See them with: normbench studies"
        )
    return _path(store, found[0])


def _path(store: RunStore, study: str) -> Path:
    return store.root / TUNING_FOLDER / f"{study}.json"


def _read(path: Path) -> dict[str, Any] | None:
    content = read_json(path)
    if content is not None and content.get("schema") != SCHEMA:
        raise StoreError(
            f"{path} has schema {content.get('schema')!r}; this version reads {SCHEMA}. Upgrade "
            "normbench, or delete the file and tune again."
        )
    return content


def _axis(content: Mapping[str, Any]) -> Axis:
    search = {
        **content["search"],
        "choices": tuple(_value(c) for c in content["search"]["choices"]),
    }
    return Axis(**{**content, "search": Search(**search)})


def _values(content: Mapping[str, Any]) -> dict[str, Value]:
    return {word: _value(value) for word, value in content.items()}


def _value(value: Any) -> Value:
    return tuple(_value(item) for item in value) if isinstance(value, list) else value
