"""From a request to frozen specs: every value resolved, checked and traceable.

Later wins: optimizer defaults < problem < protocol < known setting < config file < words. Bare
words (``lr=0.02``) are the optimizer's; others carry a prefix (``protocol.epochs=100``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normbench.augmentation import Augmentation
from normbench.descriptions import Component, Dataset, Network, Norm, Optimizer, Problem, Training
from normbench.errors import UsageError, unknown_name
from normbench.identity import ablation_identity, carries_nothing, difference, idle_rules
from normbench.overrides import OPTIONS, chosen_seeds, parse_mask, read_overrides
from normbench.parameters import Value, changed, checked, rules_of, typed
from normbench.plugins import Catalogue
from normbench.rules import Ablation, Protocol, Rules
from normbench.settings import (
    AS_PUBLISHED,
    default_values,
    find_setting,
    origin_of,
    takes_decay,
)
from normbench.specs import ComponentSpec, ProblemSpec, ProtocolSpec, RunSpec, epochs_of

# Optimizers that a message names at most.
_NAMED = 5
# Their effect is in the identity as epochs and as the optimizer's weight decay.
_ELSEWHERE = frozenset({"epochs", "epoch_share", "weight_decay"})
# Spellings of one thing: where the user gives one, a protocol's word for another has no place.
_RIVALS = {"num_groups": frozenset({"group_size", "p_grouping"})}
_NOT_IDENTITY = frozenset({"seeds", "first_seed", "evaluation_batch_size", "as_published"})
_INPUT_FIELDS = frozenset({"input_norm", "input_scale_init", "scale_init", "scale_lr_divisor"})


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


def request_label(request: Request) -> str:
    """Return the cell of *request* in the words that ask for it."""
    parts = [request.problem, request.optimizer]
    parts += [f"--norm {request.norm}"] if request.norm else []
    parts += [f"--ablation {request.ablation}"] if request.ablation else []
    if request.sites is not None:
        parts.append(f"--sites {','.join(map(str, request.sites))}")
    parts += [f"--protocol {request.protocol}"] if request.protocol else []
    parts += [f"--setting-of {request.setting_of}"] if request.setting_of else []
    return " ".join([*parts, *request.words])


def resolve(request: Request, catalogue: Catalogue) -> list[RunSpec]:
    """Return one spec for each seed of *request*.

    Raises:
        UsageError: If a name is unknown or a value does not fit; with the fix.
    """
    return _Resolution(request, catalogue).specs()


class _Resolution:
    """The parts of one request, looked up and resolved one after another."""

    def __init__(self, request: Request, catalogue: Catalogue) -> None:
        overrides = read_overrides(request.config, request.words)
        options, self.given = overrides.options, overrides.sections
        problem = catalogue.get(Problem, request.problem)
        self.catalogue = catalogue
        self.problem = catalogue.get(Problem, problem.base) if problem.base else problem
        self.dataset = catalogue.get(Dataset, self.problem.dataset)
        self.network = catalogue.get(Network, self.problem.network)
        self.optimizer = catalogue.get(Optimizer, request.optimizer)
        protocol = request.protocol or options.get("protocol") or "standard"
        self.protocol = catalogue.get(Protocol, protocol)
        self.setting_of = request.setting_of or options.get("setting_of")
        self.seeds = options.get("seeds") if request.seeds is None else request.seeds
        self.ablation = self._resolved_ablation(request, options)
        norm = request.norm or options.get("norm") or problem.norm
        idle = difference(vars(self.ablation), vars(Ablation()), self._kept_fields() - {"sites"})
        if norm == "none" and idle:
            raise UsageError(
                f"an ablation or a mask of norm sites was given, but problem {problem.name} runs "
                "without a norm. Give a norm with --norm, or leave them out."
            )
        if carries_nothing(self.ablation):
            # The mask stays, so that its length is checked; to the run it means nothing.
            norm = "none"
            self.ablation = replace(
                Ablation(), **{name: getattr(self.ablation, name) for name in self._kept_fields()}
            )
        self.published = self._take_published_words(norm)
        self.norm = catalogue.get(Norm, norm)
        self.norm_values = checked(self.norm.parameters, self.given["norm"], f"norm {norm}")
        self.base_training, self.base_rules = self._base_fields()
        self.training = _built(
            Training, self.base_training, self.given["problem"], "the problem", "problem"
        )
        owner = f"protocol {self.protocol.name}"
        self.rules = _built(Rules, self.base_rules, self.given["protocol"], owner, "protocol")
        if "epochs" in self.given["protocol"] and "epoch_share" not in self.given["protocol"]:
            # Whoever says how many epochs means so many.
            self.rules = replace(self.rules, epoch_share=1.0)
        _refuse_contradictions(self.rules)
        words = Augmentation.parse(self.training.augmentation).words
        self.training = replace(self.training, augmentation=words)
        self._refuseidle_rules_decay()

    def specs(self) -> list[RunSpec]:
        """Return one spec for each seed."""
        base = self._spec()
        return [replace(base, seed=seed) for seed in chosen_seeds(self.seeds, self.rules)]

    def _spec(self) -> RunSpec:
        network = self._network_values(self.given["network"])
        deviations = self._deviations(network)
        values, defaults, origin = self._optimizer_values(deviations)
        identity: dict[str, Any] = {
            "problem": self._problem_identity(network),
            "norm": {
                "name": self.norm.name,
                "version": self.norm.version,
                "parameters": changed(self.norm.parameters, self.norm_values),
            },
            "ablation": ablation_identity(self.ablation),
            "optimizer": {
                "name": self.optimizer.name,
                "version": self.optimizer.version,
                "parameters": difference(values, defaults),
            },
            "protocol": self._protocol_identity(),
        }
        if files := self._files():
            identity["files"] = files
        epochs = epochs_of(self.training, self.rules)
        if epochs != epochs_of(self.base_training, self.base_rules):
            identity["epochs"] = epochs
        return RunSpec(
            problem=self._problem_spec(network),
            norm=_component(self.norm, self.norm_values),
            ablation=self.ablation,
            optimizer=_component(self.optimizer, values),
            protocol=ProtocolSpec(
                name=self.protocol.name, version=self.protocol.version, rules=self.rules
            ),
            seed=0,
            identity=identity,
            setting_origin=origin,
            deviations=deviations,
        )

    @property
    def _idle(self) -> frozenset[str]:
        words = self.training.augmentation
        return idle_rules(self.rules, self.dataset.content, words)

    def _files(self) -> dict[str, str]:
        """Return the digests of the one-off files that components come from, by kind."""
        parts = (self.problem, self.dataset, self.network, self.norm, self.optimizer)
        return {part.kind: digest for part in parts if (digest := self.catalogue.digest(part))}

    def _refuseidle_rules_decay(self) -> None:
        changed_here = _decay(self.training, self.rules) != _decay(
            self.base_training, self.base_rules
        )
        if changed_here and not takes_decay(self.optimizer):
            raise UsageError(
                "problem.weight_decay and protocol.weight_decay do not reach "
                f"{self.optimizer.name}, which decays weights its own way. Give its own parameter, "
                "weight_decay=VALUE, if it has one."
            )

    def _deviations(self, network: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the words that make this row differ from its problem and protocol as written."""
        left_out = (_NOT_IDENTITY - {"as_published"}) | self._idle
        if "epoch_share" not in self.given["protocol"]:
            left_out |= {"epoch_share"}
        same = epochs_of(self.training, self.rules) == epochs_of(
            self.base_training, self.base_rules
        )
        # Other words for as many epochs change nothing.
        left_out |= {"epochs", "epoch_share"} if same else frozenset()
        problem_left_out = frozenset({"epochs"} if same else ())
        parts = {
            "protocol": difference(vars(self.rules), vars(self.base_rules), left_out),
            "problem": difference(vars(self.training), vars(self.base_training), problem_left_out),
            "network": difference(network, self._network_values({})),
        }
        return tuple(
            f"{section}.{name}={typed(value)}"
            for section, values in parts.items()
            for name, value in sorted(values.items())
            if (section, name) not in self.published
        )

    def _problem_spec(self, network: Mapping[str, Value]) -> ProblemSpec:
        return ProblemSpec(
            name=self.problem.name,
            version=self.problem.version,
            dataset=_component(self.dataset, {}),
            network=_component(self.network, network),
            training=self.training,
            metric=self.problem.metric,
        )

    def _problem_identity(self, network: Mapping[str, Value]) -> dict[str, Any]:
        return {
            "name": self.problem.name,
            "version": self.problem.version,
            "dataset": [self.dataset.name, self.dataset.version],
            "network": [self.network.name, self.network.version],
            "network_parameters": difference(network, self._network_values({})),
            "training": difference(
                vars(self.training), vars(self.base_training), leave_out=_ELSEWHERE
            ),
        }

    def _protocol_identity(self) -> dict[str, Any]:
        return {
            "name": self.protocol.name,
            "version": self.protocol.version,
            "rules": difference(
                vars(self.rules),
                vars(self.base_rules),
                leave_out=_NOT_IDENTITY | _ELSEWHERE | self._idle,
            ),
            "precision": self.rules.precision,
        }

    def _network_values(self, given: Mapping[str, Any]) -> dict[str, Value]:
        known = {parameter.name for parameter in self.network.parameters}
        laid_down = self._protocol_words()["network"].items()
        values = {
            **self.problem.network_parameters,
            **{name: value for name, value in laid_down if name in known},
            **given,
        }
        return checked(self.network.parameters, values, f"network {self.network.name}")

    def _resolved_ablation(self, request: Request, options: Mapping[str, Any]) -> Ablation:
        given = dict(self.given["ablation"])
        train = request.ablation or options.get("ablation")
        if train:
            given["train"] = train
        sites = options.get("sites") if request.sites is None else request.sites
        if sites is not None:
            given["sites"] = parse_mask(sites)
        owner = "the ablation (--ablation and --sites)"
        ablation: Ablation = _built(Ablation, Ablation(), given, owner, "ablation")
        return ablation

    def _base_fields(self) -> tuple[Training, Rules]:
        """Return the problem's and the protocol's fields before any word of the user's."""
        training, rules = self.problem.training, self.protocol.rules
        words = self._protocol_words()
        training = replace(training, **words["problem"])  # type: ignore[arg-type]
        rules = replace(rules, **words["protocol"])  # type: ignore[arg-type]
        return training, rules

    def _protocol_words(self) -> dict[str, dict[str, Value]]:
        """Return what the protocol lays down for this dataset, problem and norm, by section."""
        sections: dict[str, dict[str, Value]] = {"problem": {}, "protocol": {}, "network": {}}
        for name in ("*", self.dataset.name, self.problem.name, self.norm.name):
            for word, value in self.protocol.words.get(name, {}).items():
                section, _, field = word.partition(".")
                sections[section][field] = value
        return sections

    def _norm_changes(self) -> tuple[dict[str, Value], dict[str, Value]]:
        """Return the norm's changed parameters: all, and those not of the protocol's source."""
        values = changed(self.norm.parameters, self.norm_values)
        own = {n: value for n, value in values.items() if ("norm", n) not in self.published}
        return values, own

    def _kept_fields(self) -> frozenset[str]:
        """Return the fields of the ablation that act where no site carries a norm."""
        if self.ablation.input_norm is None:
            return frozenset({"sites", "input_norm"})
        return _INPUT_FIELDS | {"sites"}

    def _take_published_words(self, norm: str) -> set[tuple[str, str]]:
        """Give what the protocol's source did the rank of words, below the user's own.

        Returns:
            Section and name of each word taken.
        """
        asked = self.given["protocol"].get("as_published", self.protocol.rules.as_published)
        if str(asked).lower() != "true":
            return set()
        if not self.protocol.published:
            raise UsageError(
                f"{AS_PUBLISHED}: protocol {self.protocol.name} holds no words for what its "
                "source did. Leave it out."
            )
        words: dict[str, Value] = {}
        for name in ("*", self.dataset.name, self.problem.name, norm, self.optimizer.name):
            words |= self.protocol.published.get(name, {})
        places = [
            (word.rpartition(".")[0] or "optimizer", word.rpartition(".")[2]) for word in words
        ]
        known = {
            "network": {parameter.name for parameter in self.network.parameters},
            "norm": {p.name for p in self.catalogue.get(Norm, norm).parameters},
        }
        taken = set()
        for (section, name), value in zip(places, words.values(), strict=True):
            rivals = _RIVALS.get(name, frozenset())
            fits = name in known.get(section, {name}) and not rivals & self.given[section].keys()
            if fits and name not in self.given[section]:
                self.given[section][name] = value
                taken.add((section, name))
        return taken

    def _checked_words(self, owner: str, values: Mapping[str, Any]) -> dict[str, Value]:
        """Check the optimizer's words; a word that belongs elsewhere is told its place."""
        parameters = self.optimizer.parameters
        known = {parameter.name for parameter in parameters}
        places = {
            "protocol": vars(self.rules),
            "problem": vars(self.training),
            "ablation": vars(self.ablation),
            "norm": self.norm_values,
            "network": self.problem.network_parameters,
        }
        for name in sorted(values.keys() - known):
            if hint := self._owners(name) or _elsewhere(name, places):
                raise UsageError(f"{owner} has no parameter {name!r}.{hint}")
        return checked(parameters, values, owner)

    def _owners(self, name: str) -> str:
        """Return which built-in optimizers have a parameter *name*, in words."""
        owners = [
            offer.component.name
            for offer in self.catalogue.offers(Optimizer)
            if offer.origin == "built-in"
            and any(parameter.name == name for parameter in offer.component.parameters)
        ]
        if not owners:
            return ""
        more = f" and {len(owners) - _NAMED} more" * (len(owners) > _NAMED)
        have = "This optimizer has" if len(owners) == 1 else "These optimizers have"
        return f" {have} it: {', '.join(owners[:_NAMED])}{more}."

    def _optimizer_values(
        self, rules: Sequence[str]
    ) -> tuple[dict[str, Value], dict[str, Value], str]:
        """Return the hyper-parameters, their defaults in this problem, and where they come from."""
        optimizer, owner = self.optimizer, f"optimizer {self.optimizer.name}"
        usual = default_values(optimizer, _decay(self.base_training, self.base_rules))
        defaults = default_values(optimizer, _decay(self.training, self.rules))
        known, origin = find_setting(
            self.catalogue,
            problem=self.problem.name,
            norm=self.norm.name,
            ablation=ablation_identity(self.ablation),
            optimizer=optimizer.name,
            protocol=self.protocol,
            norm_parameters=self._norm_changes(),
            rules=rules,
            setting_of=self.setting_of,
        )
        given = self.given["optimizer"]
        values = {**defaults, **known}
        values.update(
            (name, value)
            for name, value in self._checked_words(owner, {**known, **given}).items()
            if name in known or name in given
        )
        return values, usual, origin_of(values, defaults, known, origin)


def _elsewhere(name: str, places: Mapping[str, Iterable[str]]) -> str:
    """Return where else a bare *name* would be a word."""
    found = [f"{section}.{name}=VALUE" for section, names in places.items() if name in names]
    if name in OPTIONS:
        found.append(f"--{name.replace('_', '-')} VALUE")
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _built(kind: type, base: Any, given: Mapping[str, Any], owner: str, section: str) -> Any:
    """Return *base* with the *given* fields checked and changed.

    Messages call a field by the word that sets it, and its default is the value in *base*.
    """
    known = {parameter.name: parameter for parameter in rules_of(kind)}
    values = {}
    for name, value in given.items():
        if name not in known:
            raise unknown_name(f"parameter of {owner}", name, known)
        word, usual = f"{section}.{name}", getattr(base, name)
        values[name] = replace(known[name], name=word, default=usual).check(value, owner)
    return replace(base, **values)


def _component(component: Component, values: Mapping[str, Value]) -> ComponentSpec:
    return ComponentSpec(name=component.name, version=component.version, parameters=values)


def _refuse_contradictions(rules: Rules) -> None:
    if rules.select == "best" and rules.validation_share == 0:
        raise UsageError(
            "protocol.select=best needs a validation part, but protocol.validation_share=0. "
            "Hold some examples out, or select the final epoch."
        )


def _decay(training: Training, rules: Rules) -> float:
    return training.weight_decay if rules.weight_decay is None else rules.weight_decay
