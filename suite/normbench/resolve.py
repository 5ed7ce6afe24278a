"""From a request to frozen specs: every value resolved, checked and traceable.

Later wins: optimizer defaults < problem < protocol < known setting < config file < words. Bare
words (``lr=0.02``) are the optimizer's; others carry a prefix (``protocol.epochs=100``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from normbench.descriptions import Dataset, Network, Norm, Optimizer, Problem, Training
from normbench.errors import UsageError, unknown_name
from normbench.parameters import Value, changed, checked, rules_of
from normbench.plugins import Catalogue
from normbench.rules import Ablation, Protocol, Rules
from normbench.settings import find_setting
from normbench.specs import ComponentSpec, ProblemSpec, ProtocolSpec, RunSpec

SECTIONS = ("optimizer", "problem", "network", "norm", "ablation", "protocol")
FIRST_TUNING_SEED = 100_000
_NOT_IDENTITY = frozenset({"seeds", "first_seed", "evaluation_batch_size"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asked for, in the words of the command line.

    Attributes:
        problem: Problem by name.
        optimizer: Optimizer by name.
        norm: Norm by name; None for the problem's default.
        sites: Mask of norm sites; None for all.
        ablation: Which of the norm's parameters train.
        protocol: Protocol by name.
        seeds: A number of seeds, or the seeds themselves; None for the protocol's.
        words: ``NAME=VALUE`` overrides.
        config: YAML file of the same words.
        setting_of: ``NAME=VALUE`` words of the cell whose known setting to use.
    """

    problem: str
    optimizer: str
    norm: str | None = None
    sites: Sequence[int] | None = None
    ablation: str | None = None
    protocol: str | None = None
    seeds: int | Sequence[int] | None = None
    words: Sequence[str] = ()
    config: Path | None = None
    setting_of: str | None = None


def resolve(request: Request, catalogue: Catalogue) -> list[RunSpec]:
    """Return one spec for each seed of *request*.

    Raises:
        UsageError: If a name is unknown or a value does not fit; with the fix.
    """
    return _Resolution(request, catalogue).specs()


class _Resolution:
    """The parts of one request, looked up once."""

    def __init__(self, request: Request, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        names, sections = _overrides(request)
        self.given = sections
        problem = catalogue.get(Problem, request.problem)
        self.norm_name = request.norm or names.get("norm") or problem.norm
        self.problem = catalogue.get(Problem, problem.base) if problem.base else problem
        self.dataset = catalogue.get(Dataset, self.problem.dataset)
        self.network = catalogue.get(Network, self.problem.network)
        self.optimizer = catalogue.get(Optimizer, request.optimizer)
        protocol = request.protocol or names.get("protocol") or "standard"
        self.protocol = catalogue.get(Protocol, protocol)
        self.ablation_given = dict(sections["ablation"])
        if request.ablation or names.get("ablation"):
            self.ablation_given["train"] = request.ablation or names["ablation"]
        if request.sites is not None:
            self.ablation_given["sites"] = tuple(request.sites)
        self.setting_of = request.setting_of
        self.seeds = request.seeds if request.seeds is not None else names.get("seeds")

    def specs(self) -> list[RunSpec]:
        """Return one spec for each seed."""
        base = self._base()
        rules = base.protocol.rules
        return [replace(base, seed=seed) for seed in chosen_seeds(self.seeds, rules)]

    def _base(self) -> RunSpec:
        ablation = _built(Ablation, Ablation(), self.ablation_given, "the ablation")
        if self.norm_name == "none" or _carries_nothing(ablation):
            self.norm_name, ablation = "none", Ablation()
        norm = self.catalogue.get(Norm, self.norm_name)
        norm_values = checked(norm.parameters, self.given["norm"], f"norm {norm.name}")
        training_base, rules_base = self._base_fields()
        training = _built(Training, training_base, self.given["problem"], "the problem")
        rules = _built(Rules, rules_base, self.given["protocol"], f"protocol {self.protocol.name}")
        _refuse_contradictions(rules)
        network_base = checked(
            self.network.parameters,
            self.problem.network_parameters,
            f"network {self.network.name}",
        )
        network = checked(
            self.network.parameters,
            {**self.problem.network_parameters, **self.given["network"]},
            f"network {self.network.name}",
        )
        decay = training.weight_decay if rules.weight_decay is None else rules.weight_decay
        values, defaults, origin = self._optimizer_values(norm, norm_values, ablation, decay)
        identity = {
            "problem": {
                "name": self.problem.name,
                "version": self.problem.version,
                "dataset": [self.dataset.name, self.dataset.version],
                "network": [self.network.name, self.network.version],
                "network_parameters": _difference(network, network_base),
                "training": _difference(vars(training), vars(training_base)),
            },
            "norm": {
                "name": norm.name,
                "version": norm.version,
                "parameters": changed(norm.parameters, norm_values),
            },
            "ablation": _ablation_identity(ablation),
            "optimizer": {
                "name": self.optimizer.name,
                "version": self.optimizer.version,
                "parameters": _difference(values, defaults),
            },
            "protocol": {
                "name": self.protocol.name,
                "version": self.protocol.version,
                "rules": _difference(vars(rules), vars(rules_base), leave_out=_NOT_IDENTITY),
                "precision": rules.precision,
            },
        }
        return RunSpec(
            problem=ProblemSpec(
                name=self.problem.name,
                version=self.problem.version,
                dataset=ComponentSpec(name=self.dataset.name, version=self.dataset.version),
                network=ComponentSpec(
                    name=self.network.name, version=self.network.version, parameters=network
                ),
                training=training,
                metric=self.problem.metric,
            ),
            norm=ComponentSpec(name=norm.name, version=norm.version, parameters=norm_values),
            ablation=ablation,
            optimizer=ComponentSpec(
                name=self.optimizer.name, version=self.optimizer.version, parameters=values
            ),
            protocol=ProtocolSpec(
                name=self.protocol.name, version=self.protocol.version, rules=rules
            ),
            seed=0,
            identity=identity,
            setting_origin=origin,
            deviations=_deviations(identity),
        )

    def _base_fields(self) -> tuple[Training, Rules]:
        """Return the problem's and the protocol's fields before any word of the user's."""
        training, rules = self.problem.training, self.protocol.rules
        for name in (self.dataset.name, self.problem.name):
            for word, value in self.protocol.per_problem.get(name, {}).items():
                section, _, field = word.partition(".")
                if section == "problem":
                    training = replace(training, **{field: value})  # type: ignore[arg-type]
                else:
                    rules = replace(rules, **{field: value})  # type: ignore[arg-type]
        return training, rules

    def _optimizer_values(
        self, norm: Norm, norm_values: Mapping[str, Value], ablation: Ablation, decay: float
    ) -> tuple[dict[str, Value], dict[str, Value], str]:
        """Return the hyper-parameters, their defaults in this problem, and where they come from."""
        optimizer = self.optimizer
        owner = f"optimizer {optimizer.name}"
        defaults = checked(optimizer.parameters, {}, owner)
        if "weight_decay" in defaults and not optimizer.decoupled_weight_decay:
            defaults["weight_decay"] = decay
        known, origin = find_setting(
            self.catalogue,
            problem=self.problem.name,
            norm=norm.name if not changed(norm.parameters, norm_values) else "",
            ablation=_ablation_identity(ablation),
            optimizer=optimizer.name,
            protocol=self.protocol,
            setting_of=self.setting_of,
        )
        given = self.given["optimizer"]
        values = {**defaults, **known}
        values.update(
            (name, value)
            for name, value in checked(optimizer.parameters, {**known, **given}, owner).items()
            if name in known or name in given
        )
        return values, defaults, "given" if given else origin


def _overrides(request: Request) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return names and sections of the config file and the words together, words winning."""
    merged = _read_config(request.config) if request.config else OmegaConf.create({})
    words = [_checked_word(word) for word in request.words]
    try:
        dotted = OmegaConf.from_dotlist([_prefixed(word) for word in words])
        content = OmegaConf.to_container(OmegaConf.merge(merged, dotted), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise UsageError(f"the words {' '.join(words)} could not be read: {error}.") from None
    assert isinstance(content, dict)  # noqa: S101 - made of mappings above
    names = content.pop("names", {})
    return names, {section: _flat(content.get(section)) for section in SECTIONS}


def _checked_word(word: str) -> str:
    name, equals, _ = word.partition("=")
    section, dot, _ = name.partition(".")
    if not equals or not name:
        raise UsageError(f"unexpected word {word!r}: expected NAME=VALUE, such as lr=0.02.")
    if dot and section not in SECTIONS:
        raise unknown_name("section", section, SECTIONS)
    return word


def _prefixed(word: str) -> str:
    return word if "." in word.partition("=")[0] else f"optimizer.{word}"


_NAMES = ("norm", "protocol", "ablation", "seeds")


def _read_config(path: Path) -> DictConfig:
    """Read a YAML file of sections and bare words into sections and names."""
    try:
        loaded = OmegaConf.load(path)
        content = OmegaConf.to_container(loaded, resolve=True)
    except FileNotFoundError:
        raise UsageError(f"config file {path} does not exist. Give an existing file.") from None
    except (OSError, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"config file {path} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"config file {path} holds no mapping: expected lines NAME: VALUE.")
    sections: dict[str, Any] = {"names": {}}
    for key, value in content.items():
        name = str(key)
        if isinstance(value, dict):
            if name not in SECTIONS:
                raise UsageError(f"config file {path}: {unknown_name('section', name, SECTIONS)}")
            sections.setdefault(name, {}).update(value)
        elif name in _NAMES:
            sections["names"][name] = value
        else:
            section, dot, field = name.partition(".")
            if dot and section not in SECTIONS:
                raise UsageError(f"config file {path}: {unknown_name('section', name, SECTIONS)}")
            target = (section, field) if dot else ("optimizer", name)
            sections.setdefault(target[0], {})[target[1]] = value
    created = OmegaConf.create(sections)
    assert isinstance(created, DictConfig)  # noqa: S101 - made of a mapping
    return created


def _flat(section: Any) -> dict[str, Any]:
    """Return a section's values; a mask given as a string of digits becomes numbers."""
    if section is None:
        return {}
    values = dict(section)
    sites = values.get("sites")
    if isinstance(sites, str | int) and not isinstance(sites, bool):
        values["sites"] = parse_mask(str(sites))
    return values


def parse_mask(text: str) -> tuple[int, ...]:
    """Read a mask of norm sites such as ``0,0,1,1,1``.

    Raises:
        UsageError: If it holds anything but 0, 1 and commas.
    """
    digits = [digit.strip() for digit in text.split(",")] if "," in text else list(text.strip())
    if not digits or any(digit not in ("0", "1") for digit in digits):
        raise UsageError(
            f"--sites {text!r} is no mask: expected one 0 or 1 for each norm site, separated by "
            "commas, such as 0,0,1,1,1."
        )
    return tuple(int(digit) for digit in digits)


def chosen_seeds(seeds: int | Sequence[int] | None, rules: Rules) -> list[int]:
    """Return the seeds to run: the protocol's, so many from its first, or the list itself.

    Raises:
        UsageError: If there are none, one is negative, or one is kept for tuning.
    """
    if seeds is None or isinstance(seeds, int):
        count = rules.seeds if seeds is None else seeds
        if count < 1:
            raise UsageError(f"--seeds {count} asks for no run: expected at least 1.")
        return list(range(rules.first_seed, rules.first_seed + count))
    chosen = list(dict.fromkeys(int(seed) for seed in seeds))
    if not chosen:
        raise UsageError("--seeds names no seed: expected a number, or seeds such as 3,7,9.")
    for seed in chosen:
        if seed < 0:
            raise UsageError(f"seed {seed} is negative: expected seeds from 0.")
        if seed >= FIRST_TUNING_SEED:
            raise UsageError(
                f"seed {seed} is kept for tuning: expected seeds below {FIRST_TUNING_SEED}."
            )
    return chosen


def _built(kind: type[Any], base: Any, given: Mapping[str, Any], owner: str) -> Any:
    """Return *base* with the *given* fields checked and changed."""
    values = checked(rules_of(kind), given, owner)
    return replace(base, **{name: values[name] for name in given})


def _carries_nothing(ablation: Ablation) -> bool:
    return ablation.sites is not None and not any(ablation.sites)


def _ablation_identity(ablation: Ablation) -> dict[str, Any]:
    """Return what *ablation* changes; a mask of all ones changes nothing."""
    values = _difference(vars(ablation), vars(Ablation()))
    if ablation.sites is not None and all(ablation.sites):
        del values["sites"]
    return values


def _difference(
    values: Mapping[str, Any], base: Mapping[str, Any], leave_out: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the *values* that differ from *base*, in the types that JSON gives back."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != base[name] and name not in leave_out
    }


def _refuse_contradictions(rules: Rules) -> None:
    if rules.select == "best" and rules.validation_share == 0:
        raise UsageError(
            "protocol.select=best needs a validation part, but protocol.validation_share=0. "
            "Hold some examples out, or select the final epoch."
        )


def _deviations(identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words that make this row differ from its problem and protocol as published."""
    parts = {
        "protocol": identity["protocol"]["rules"],
        "problem": identity["problem"]["training"],
        "network": identity["problem"]["network_parameters"],
    }
    return tuple(
        f"{section}.{name}={_shown(value)}"
        for section, values in parts.items()
        for name, value in sorted(values.items())
    )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return "null" if value is None else str(value)
