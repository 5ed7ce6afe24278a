"""The winner of a study as a known setting of its store: ``STORE/settings/*.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.descriptions import Norm
from normbench.errors import what_is_wrong
from normbench.parameters import Value, changed, typed
from normbench.plugins import Catalogue
from normbench.quantities import counted
from normbench.setting_files import SETTINGS_FOLDER, damaged_settings, file_name, setting_text
from normbench.specs import RunSpec
from normbench.store import RunStore
from normbench.store.files import explained, open_folder, write_whole
from normbench.tuning.commands import trial_words
from normbench.tuning.methods import find_method
from normbench.tuning.study import Study, Trial

_LOCK = "settings"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What happened to the setting of a cell.

    Attributes:
        path: Its file.
        current: Whether the winner is what the file holds now.
        words: What happened, in a sentence.
    """

    path: Path
    current: bool
    words: str


def keep_setting(
    store: RunStore, study: Study, winner: Trial, spec: RunSpec, catalogue: Catalogue
) -> Kept:
    """Make the winner the known setting of its cell, unless that is from a larger budget.

    Args:
        store: Where to.
        study: What found it.
        winner: The trial.
        spec: The winner's spec at any seed.
        catalogue: Knows the norm's defaults.

    Raises:
        StoreError: If the file cannot be read or written.
    """
    path = store.root / SETTINGS_FOLDER / _file_name(spec)
    origin = _origin(study)
    values = _values(study, winner)
    with explained("keep the setting at", path):
        path.parent.mkdir(exist_ok=True)
    with store.lock(_LOCK, wait=None):
        before = _read(path)
        if before is not None and _runs(before["origin"]) > _runs(origin):
            return Kept(
                path=path,
                current=_held(before) == values,
                words=f"the store keeps a setting of a larger budget, {before['origin']['budget']}"
                f". To replace it, delete {path} and tune again.",
            )
        entry = {**_cell(spec, catalogue), "values": values, "remark": _remark(winner)}
        text = setting_text(origin, [entry])
        if before == tomllib.loads(text):
            return Kept(path=path, current=True, words=f"known setting: {path}")
        with explained("keep the setting at", path), open_folder(path.parent) as folder:
            write_whole(path.name, text.encode(), folder=folder)
    replaced = f", in place of that of {before['origin']['budget']}" if before else ""
    return Kept(path=path, current=True, words=f"known setting: {path}{replaced}")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a store holds as the known setting of a study's cell.

    Attributes:
        path: Its file.
        current: Whether it is the study's winner.
        words: The values that it holds.
        budget: What it was chosen from.
    """

    path: Path
    current: bool
    words: str
    budget: str


def held_setting(store: RunStore, study: Study, winner: Trial, spec: RunSpec) -> Held | None:
    """Return the known setting of the winner's cell; None if the store holds none.

    Raises:
        StoreError: If its file cannot be read.
    """
    path = store.root / SETTINGS_FOLDER / _file_name(spec)
    content = _read(path)
    if content is None:
        return None
    values = _held(content)
    return Held(
        path=path,
        current=values == _values(study, winner),
        words=" ".join(trial_words(values)),
        budget=content["origin"]["budget"],
    )


def _file_name(spec: RunSpec) -> str:
    names = (spec.problem.name, spec.norm.name, spec.optimizer.name, spec.protocol.name)
    return file_name(names, spec.cell)


def _origin(study: Study) -> dict[str, Any]:
    seeds = len(study.tuning_seeds)
    rules = " ".join((study.protocol, *study.deviations))
    metric = study.metric.name.partition("_")[2]
    epoch = "best epoch on validation" if study.select == "best" else "final epoch"
    method = find_method(study.method)
    drawn = f", draw seed {study.draw_seed}" if method.seeded else ""
    fixed = "".join(f", {word}={typed(value)}" for word, value in study.fixed.items())
    return {
        "kind": "known",
        "source": f"normbench tune, method {method.label}{drawn}, study {study.id}",
        "tuned_on": f"{study.problem}, {study.norm_label}, protocol {rules}; chosen by validation "
        f"{metric} of the {epoch}",
        "budget": f"{counted(len(study.trials), 'trial')} of {study.space}{fixed}",
        "seeds": seeds,
        "trials": len(study.trials),
        **({"method": method.label} if method.sequential else {}),
    }


def _remark(winner: Trial) -> str:
    return f"trial {winner.number}, mean validation score {winner.score:.6g}"


def _values(study: Study, winner: Trial) -> dict[str, Value]:
    """Return the optimizer's values: those tuned and those fixed for all trials."""
    both = {**study.fixed, **winner.values}
    return {word: value for word, value in sorted(both.items()) if "." not in word}


def _cell(spec: RunSpec, catalogue: Catalogue) -> dict[str, Any]:
    norm = catalogue.get(Norm, spec.norm.name)
    cell: dict[str, Any] = {
        "problem": spec.problem.name,
        "norm": spec.norm.name,
        "optimizer": spec.optimizer.name,
        "protocol": spec.protocol.name,
    }
    details = {
        "norm_parameters": changed(norm.parameters, spec.norm.parameters),
        "ablation": spec.identity["ablation"],
        "rules": list(spec.deviations),
    }
    return {**cell, **{name: value for name, value in details.items() if value}}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _runs(content["origin"]), _held(content), content["origin"]["budget"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise damaged_settings(path, what_is_wrong(error)) from error
    return content


def _runs(origin: Mapping[str, Any]) -> int:
    """Return how many runs a setting was chosen from."""
    return int(origin["trials"]) * int(origin["seeds"])


def _held(content: Mapping[str, Any]) -> dict[str, Any]:
    return dict(content["setting"][0]["values"])
