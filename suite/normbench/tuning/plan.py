"""What a user asks of tuning, and the specs of its trials, checked before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normbench.descriptions import Dataset, Norm, Optimizer
from normbench.errors import UsageError
from normbench.overrides import read_overrides
from normbench.parameters import Parameter, Value, rules_of
from normbench.plugins import Catalogue
from normbench.resolve import Request, resolve
from normbench.rules import Ablation
from normbench.specs import FIRST_TUNING_SEED, RunSpec
from normbench.tuning.commands import run_words, trial_words, tune_words
from normbench.tuning.grid import whole_grid
from normbench.tuning.methods import Method, find_method
from normbench.tuning.space import Space
from normbench.tuning.words import make_space

DEFAULT_TRIALS = 20
_SEARCHED = ("norm", "ablation")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a user asked for.

    Attributes:
        request: The cell, words that hold for every trial, and the evaluation seeds.
        search: Words of ``--search``.
        method: How trials are drawn.
        trials: The budget; None for 20, for all settings where there are fewer, or for the whole
            grid where there are only choices.
        draw_seed: What the draw depends on beside the space.
        tuning_seeds: Number of seeds that every trial is trained at.
        evaluate: Whether the evaluation seeds are trained at the winner.
        skip_failed: Choose among the others when trials have failed.
        command: What to type to ask for it again; None to make that of the fields above.
    """

    request: Request
    search: Sequence[str] = ()
    method: str = "sobol"
    trials: int | None = None
    draw_seed: int = 0
    tuning_seeds: int = 1
    evaluate: bool = True
    skip_failed: bool = False
    command: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request for tuning, resolved.

    Attributes:
        request: The cell with the words that hold for every trial, at one seed.
        base: The default setting of the cell at seed 0.
        space: Where trials are drawn from.
        method: How.
        budget: Number of trials.
        draw_seed: What the draw depends on beside the space; 0 where it has no effect.
        seeds: The tuning seeds.
        fixed: Words of the searched sections that hold for every trial.
        commands: What to type, but for the store: to ``tune`` once more, and to ``run`` the cell.
    """

    request: Request
    base: RunSpec
    space: Space
    method: Method
    budget: int
    draw_seed: int
    seeds: tuple[int, ...]
    fixed: Mapping[str, Value]
    commands: Mapping[str, Sequence[str]]

    @property
    def default(self) -> dict[str, Value]:
        """The searched values of the default setting, by word."""
        return {axis.word: _value_of(self.base, axis.word) for axis in self.space}

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the cell, its fixed words, the space and the way of drawing.

        Budget and tuning seeds have a part in it where they change what is drawn.
        """
        content = {
            "identity": self.base.identity,
            "space": str(self.space),
            "method": self.method.name,
            "draw_seed": self.draw_seed,
            "budget": None if self.method.extends else self.budget,
            "seeds": len(self.seeds) if self.method.sequential else None,
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


Specs = Callable[[Request, Catalogue], list[RunSpec]]


def plan_study(tuning: Tuning, catalogue: Catalogue, specs_of: Specs) -> Plan:
    """Resolve *tuning*; its default setting is checked as a run is.

    Args:
        tuning: What the user asked for.
        catalogue: What the plugins offer; no known setting has a part in a trial.
        specs_of: Resolves a request and checks it.

    Raises:
        UsageError: If the cell cannot be trained or tuned, or the space or budget is impossible.
    """
    request = replace(tuning.request, seeds=[0])
    overrides = read_overrides(request.config, request.words)
    if request.setting_of or overrides.options.get("setting_of"):
        raise UsageError("setting_of has no place in tuning, which looks for a setting. Leave it.")
    catalogue = catalogue.without_settings()
    base = specs_of(request, catalogue)[0]
    _check_validation(base, catalogue.get(Dataset, base.problem.dataset.name))
    given = {
        _word(section, name): value
        for section in ("optimizer", *_SEARCHED)
        for name, value in overrides.sections[section].items()
    }
    optimizer = f"optimizer {base.optimizer.name}"
    space = make_space(_parameters(base, catalogue), tuning.search, given.keys(), optimizer)
    method = find_method(tuning.method)
    if tuning.tuning_seeds < 1:
        raise UsageError(f"--tuning-seeds {tuning.tuning_seeds}: expected at least 1.")
    return Plan(
        request=request,
        base=base,
        space=space,
        method=method,
        budget=_budget(tuning, space, method),
        draw_seed=tuning.draw_seed if method.seeded else 0,
        seeds=tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + tuning.tuning_seeds)),
        fixed={word: _value_of(base, word) for word in sorted(given)},
        commands={
            "tune": tuning.command or tune_words(tuning, catalogue.files),
            "run": run_words(tuning.request, catalogue.files),
        },
    )


def trial_specs(
    study: Plan,
    numbered: Mapping[int, Mapping[str, Value]],
    catalogue: Catalogue,
    specs_of: Specs,
) -> dict[int, list[RunSpec]]:
    """Return the specs of trials, by number, one for each tuning seed.

    One trial of each network is checked as a run is; of the others the values are.

    Args:
        study: The study they belong to.
        numbered: Values of each trial by word; none for the default setting.
        catalogue: What the plugins offer.
        specs_of: Resolves a request and checks it.

    Raises:
        UsageError: If a trial cannot be trained; the message names it.
    """
    catalogue = catalogue.without_settings()
    tried: set[str] = set()
    found: dict[int, list[RunSpec]] = {}
    for number, values in numbered.items():
        words = trial_words(values)
        request = replace(study.request, words=(*study.request.words, *words))
        network = str([word for word in words if "." in word or "=[" in word])
        try:
            if network in tried:
                spec = resolve(request, catalogue)[0]
            else:
                spec = specs_of(request, catalogue)[0]
        except UsageError as error:
            raise type(error)(f"trial {number}, {' '.join(words) or 'default'}: {error}") from None
        tried.add(network)
        found[number] = [replace(spec, seed=seed, setting_origin="trial") for seed in study.seeds]
    return found


def _budget(tuning: Tuning, space: Space, method: Method) -> int:
    trials, size, on_grid = tuning.trials, space.size, method.name == "grid"
    if trials is None and on_grid:
        return whole_grid(space) or DEFAULT_TRIALS
    if trials is None:
        return min(DEFAULT_TRIALS, size or DEFAULT_TRIALS)
    if trials < 1:
        raise UsageError(f"--trials {trials} asks for no trial: expected at least 1.")
    if size is not None and trials > size and not on_grid:
        raise UsageError(
            f"--trials {trials}: {space} has only {size} different settings. Give --trials {size}, "
            "or --method grid."
        )
    return trials


def _parameters(base: RunSpec, catalogue: Catalogue) -> dict[str, Parameter]:
    """Return what may be searched, by word."""
    sections = {
        "optimizer": catalogue.get(Optimizer, base.optimizer.name).parameters,
        "norm": catalogue.get(Norm, base.norm.name).parameters,
        "ablation": rules_of(Ablation) if base.norm.name != "none" else (),
    }
    return {
        _word(section, parameter.name): parameter
        for section, parameters in sections.items()
        for parameter in parameters
    }


def _word(section: str, name: str) -> str:
    return name if section == "optimizer" else f"{section}.{name}"


def _value_of(base: RunSpec, word: str) -> Value:
    section, _, name = word.rpartition(".")
    values: Mapping[str, Any] = {
        "": base.optimizer.parameters,
        "norm": base.norm.parameters,
        "ablation": vars(base.ablation),
    }[section]
    value: Value = values[name]
    return value


def _check_validation(spec: RunSpec, dataset: Dataset) -> None:
    share = spec.protocol.rules.validation_share
    examples = dataset.train_size / max(dataset.classes, 1)
    if share == 0 or (examples and round(share * examples) < 1):
        raise UsageError(
            f"a winner is chosen on validation, but protocol {spec.protocol.name} holds nothing of "
            f"{dataset.name} out: protocol.validation_share={share:g}. Give a larger share, such "
            "as protocol.validation_share=0.1"
        )
