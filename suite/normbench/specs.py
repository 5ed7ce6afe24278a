"""The frozen description of one run: resolved, fingerprinted, readable without any plugin."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from normbench.descriptions import Metric, Training
from normbench.parameters import Value
from normbench.rules import Ablation, Rules
from normbench.streams import md5_seed

SPEC_SCHEMA = 1
FIRST_TUNING_SEED = 100_000
_DIGITS = 32
_CHECKSUM = "checksum"
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """A component by name and version, with all its parameters resolved."""

    name: str
    version: int = 1
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """Return the value of a numeric parameter."""
        value = self.parameters[name]
        if not isinstance(value, int | float):
            raise TypeError(f"{self.name}: {name}={value!r} is not a number")
        return float(value)

    def __str__(self) -> str:
        """Return the name, with the parameters in brackets."""
        shown = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}({shown})" if shown else self.name


@dataclass(frozen=True, kw_only=True)
class ProblemSpec:
    """A problem with all its parts resolved; named by its base, so twins are one problem."""

    name: str
    version: int = 1
    dataset: ComponentSpec
    network: ComponentSpec
    training: Training
    metric: Metric


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """A protocol by name and version, with all its rules resolved."""

    name: str
    version: int = 1
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All that decides the numbers of one run.

    Attributes:
        problem: Dataset, network, training fields and metric.
        norm: What sits at the norm sites.
        ablation: What of it is alive.
        optimizer: The optimizer with its setting.
        protocol: The rules.
        seed: Drives the random streams.
        identity: What tells this run from others: names, versions, and the values that differ from
            their defaults. Everything else is provenance.
        setting_origin: ``default`` (untuned), ``known`` (tuned in this cell), ``published``,
            ``given`` (words), ``known + given lr=0.2``, ``of <cell>``, or ``trial`` (tried at a
            tuning seed).
        deviations: Words that changed the protocol, such as ``protocol.epochs=3``.
    """

    problem: ProblemSpec
    norm: ComponentSpec
    ablation: Ablation
    optimizer: ComponentSpec
    protocol: ProtocolSpec
    seed: int
    identity: Mapping[str, Any]
    setting_origin: str = "default"
    deviations: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the SHA-256 of the identity and the seed."""
        return _digest({**self.identity, "seed": self.seed})

    @property
    def row(self) -> str:
        """Fingerprint of the row: the identity without the seed.

        Runs at tuning seeds are a row of their own, so that no mean takes them in.
        """
        return _digest({**self.identity, "part": "tuning"} if self.tuning else self.identity)

    @property
    def tuning(self) -> bool:
        """Whether the run belongs to a trial: its seed is kept for tuning."""
        return self.seed >= FIRST_TUNING_SEED

    @property
    def cell(self) -> str:
        """Fingerprint of the cell: the identity without seed and setting."""
        optimizer = {**self.identity["optimizer"], "parameters": {}}
        return _digest({**self.identity, "optimizer": optimizer})

    @property
    def stream_root(self) -> int:
        """What the run's random streams are keyed by: its seed, or the seed's MD5."""
        return md5_seed(self.seed) if self.protocol.rules.seed_rule == "md5" else self.seed

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate at this batch size, before any schedule."""
        rules, size = self.protocol.rules, self.problem.training.batch_size
        given = self.optimizer.number("lr")
        if rules.lr_batch_size is None:
            return given
        factor = size / rules.lr_batch_size
        return given * factor if rules.lr_batch_rule == "linear" else given / factor

    @property
    def epochs(self) -> int:
        """Epochs to train: the protocol's or the problem's, times its share, at least one."""
        return epochs_of(self.problem.training, self.protocol.rules)

    @property
    def norm_label(self) -> str:
        """The norm for tables: name, changed parameters, and what the ablation changes."""
        return _label(self.identity["norm"], self.identity.get("ablation", {}))

    @property
    def mask_label(self) -> str:
        """The sites that carry the norm: ``all``, ``none``, or the mask's digits."""
        if self.norm.name == "none":
            return "none"
        sites = self.identity["ablation"].get("sites")
        return "".join(str(bit) for bit in sites) if sites else "all"

    @property
    def optimizer_label(self) -> str:
        """The optimizer for tables: its name."""
        return self.optimizer.name

    def to_json(self) -> str:
        """Return the spec as strict JSON."""
        return _as_text(self._content())

    def to_file(self) -> bytes:
        """Return the JSON that a file of its own holds: with a checksum of all but the seed."""
        content = self._content()
        return _as_text({**content, _CHECKSUM: _checksum(content)}).encode() + b"\n"

    def _content(self) -> dict[str, Any]:
        return {"schema": SPEC_SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Read what :meth:`to_json` or :meth:`to_file` wrote; a checksum is not looked at."""
        return cls.from_content(json.loads(text))

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> RunSpec:
        """Read the values that the JSON of :meth:`to_json` stands for."""
        problem = content["problem"]
        return cls(
            problem=ProblemSpec(
                name=problem["name"],
                version=problem["version"],
                dataset=_component(problem["dataset"]),
                network=_component(problem["network"]),
                training=Training(**_frozen(problem["training"])),
                metric=Metric(**problem["metric"]),
            ),
            norm=_component(content["norm"]),
            ablation=Ablation(**_frozen(content["ablation"])),
            optimizer=_component(content["optimizer"]),
            protocol=ProtocolSpec(
                name=content["protocol"]["name"],
                version=content["protocol"]["version"],
                rules=Rules(**_frozen(content["protocol"]["rules"])),
            ),
            seed=content["seed"],
            identity=content["identity"],
            setting_origin=content["setting_origin"],
            deviations=tuple(content["deviations"]),
        )


def is_unchanged(content: Mapping[str, Any]) -> bool:
    """Whether the *content* of a spec's file agrees with its checksum; so does one without."""
    return _CHECKSUM not in content or content[_CHECKSUM] == _checksum(content)


def epochs_of(training: Training, rules: Rules) -> int:
    """Return the epochs to train: the protocol's or the problem's, times its share, at least 1."""
    return max(1, round((rules.epochs or training.epochs) * rules.epoch_share))


def fingerprints_of(identity: Mapping[str, Any]) -> Callable[[int], str]:
    """Return what gives the fingerprint of the run with this *identity* at a seed.

    For many seeds this is faster than :attr:`RunSpec.fingerprint`, and gives the same.
    """
    before = _CANONICAL.encode({k: v for k, v in identity.items() if k < "seed"})[1:-1]
    after = _CANONICAL.encode({k: v for k, v in identity.items() if k > "seed"})[1:]
    start = hashlib.sha256(f'{{{before}{"," if before else ""}"seed":'.encode())
    end = after if after == "}" else f",{after}"

    def fingerprint(seed: int) -> str:
        digest = start.copy()
        digest.update(f"{seed!r}{end}".encode())
        return digest.hexdigest()[:_DIGITS]

    return fingerprint


def _checksum(content: Mapping[str, Any]) -> str:
    """Return what tells the content of specs that differ in more than their seeds."""
    return _digest({k: v for k, v in content.items() if k not in (_CHECKSUM, "seed")})


def _as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False)


def _digest(content: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits that depend on *content* alone, not on the order of its keys."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()[:_DIGITS]


def _component(content: Mapping[str, Any]) -> ComponentSpec:
    return ComponentSpec(
        name=content["name"],
        version=content["version"],
        parameters=_frozen(content["parameters"]),
    )


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn JSON's lists back into tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def _label(norm: Mapping[str, Any], ablation: Mapping[str, Any]) -> str:
    """Return the norm with its changes in one order, whatever order they were resolved in."""
    words = [f"{name}={value}" for name, value in sorted(norm.get("parameters", {}).items())]
    for name, value in sorted(ablation.items(), key=_ablation_place):
        if name == "sites":
            words.append("sites=" + "".join(str(bit) for bit in value))
        else:
            words.append(str(value) if name == "train" else f"{name}={value}")
    return f"{norm['name']} [{' '.join(words)}]" if words else str(norm["name"])


def _ablation_place(item: tuple[str, Any]) -> tuple[int, str]:
    """Return where a change of the ablation stands: what trains, where, then the rest by name."""
    first = ("train", "sites")
    return first.index(item[0]) if item[0] in first else len(first), item[0]
