"""What a test of a precision trains: two arms that differ in ``protocol.precision`` alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from normbench.comparable import comparable
from normbench.errors import UsageError
from normbench.overrides import read_overrides
from normbench.plugins import Catalogue
from normbench.resolve import Request, resolve
from normbench.specs import FIRST_TUNING_SEED, RunSpec

Specs = Callable[[Request, Catalogue], list[RunSpec]]
OPTIMIZERS = ("momentum", "adam")
SEEDS = 12
RATES = 3
_STEP = 10**0.5


@dataclass(frozen=True, kw_only=True)
class PrecisionTest:
    """What the user asked for.

    Attributes:
        request: The cell but for its optimizer, with words that hold for every run.
        precision: The one in question.
        against: The one it is held against; None for the protocol's.
        optimizers: Optimizers by name.
        rates: Learning rates by optimizer; those of ``""`` hold for the others, and without any
            they are the cell's own, and half a decade to either side.
        seeds: Runs of each optimizer at each rate in each precision.
    """

    request: Request
    precision: str = "bf16"
    against: str | None = None
    optimizers: Sequence[str] = OPTIMIZERS
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    seeds: int = SEEDS


@dataclass(frozen=True, kw_only=True)
class Group:
    """One optimizer at one learning rate.

    Attributes:
        optimizer: Optimizer by name.
        rate: Its learning rate.
        arms: Specs by precision, in the order of their seeds.
    """

    optimizer: str
    rate: float
    arms: Mapping[str, Sequence[RunSpec]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a test.

    Attributes:
        precision: The one in question.
        against: The one it is held against.
        seeds: Runs of each group in each precision.
        groups: One for each optimizer at each rate.
    """

    precision: str
    against: str
    seeds: int
    groups: Sequence[Group]

    @property
    def base(self) -> RunSpec:
        """One of the runs in the precision in question."""
        return self.groups[0].arms[self.precision][0]

    @property
    def table(self) -> str:
        """What the rows share that the test speaks of, see :func:`normbench.comparable`."""
        return comparable(self.base.identity)

    @property
    def runs(self) -> list[RunSpec]:
        """All runs, pair by pair, so that an early end leaves pairs."""
        return list(self._pairs())

    @property
    def id(self) -> str:
        """The name of the test in the store, the same whenever the same is asked for."""
        text = json.dumps(sorted(spec.fingerprint for spec in self.runs))
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.base.problem.name}-{self.precision}-{digest}"

    @property
    def small(self) -> bool:
        """Whether it is smaller than the full test: 2 optimizers, 3 rates each, 12 seeds each."""
        rates = [len({g.rate for g in self.groups if g.optimizer == o}) for o in self.optimizers]
        return len(rates) < len(OPTIMIZERS) or min(rates) < RATES or self.seeds < SEEDS

    @property
    def optimizers(self) -> list[str]:
        """Optimizers by name, in the order in which they were asked for."""
        return list(dict.fromkeys(group.optimizer for group in self.groups))

    def _pairs(self) -> Iterator[RunSpec]:
        for number in range(self.seeds):
            for group in self.groups:
                yield group.arms[self.against][number]
                yield group.arms[self.precision][number]


def plan_test(asked: PrecisionTest, catalogue: Catalogue, specs_of: Specs) -> Plan:
    """Return the runs of a test, checked; they are at tuning seeds, which no leaderboard takes in.

    Args:
        asked: What the user asked for.
        catalogue: What the plugins offer.
        specs_of: Resolves a request and checks all that its runs need.

    Raises:
        UsageError: If the test cannot be carried out as given.
    """
    _check(asked)
    bases = {
        name: specs_of(replace(asked.request, optimizer=name, seeds=[0]), catalogue)[0]
        for name in dict.fromkeys(asked.optimizers)
    }
    against = asked.against or next(iter(bases.values())).protocol.rules.precision
    if asked.precision == against:
        raise UsageError(
            f"precision {asked.precision} would be held against itself. Choose another by --against"
            ", such as --against fp32."
        )
    groups = [
        _group(asked, spec.optimizer.name, rate, against, catalogue)
        for spec in bases.values()
        for rate in _rates(asked, spec)
    ]
    return Plan(precision=asked.precision, against=against, seeds=asked.seeds, groups=groups)


def _group(
    asked: PrecisionTest, optimizer: str, rate: float, against: str, catalogue: Catalogue
) -> Group:
    return Group(
        optimizer=optimizer,
        rate=rate,
        arms={
            precision: _arm(asked, optimizer, rate, precision, catalogue)
            for precision in (against, asked.precision)
        },
    )


def _arm(
    asked: PrecisionTest, optimizer: str, rate: float, precision: str, catalogue: Catalogue
) -> list[RunSpec]:
    words = (*asked.request.words, f"lr={rate!r}", f"protocol.precision={precision}")
    request = replace(asked.request, optimizer=optimizer, seeds=[0], words=words)
    spec = resolve(request, catalogue)[0]
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + asked.seeds)
    return [replace(spec, seed=seed, setting_origin="trial") for seed in seeds]


def _rates(asked: PrecisionTest, spec: RunSpec) -> list[float]:
    own = asked.rates.get(spec.optimizer.name) or asked.rates.get("")
    if own:
        return sorted(set(own))
    middle = spec.optimizer.number("lr")
    return [float(f"{middle * factor:.3g}") for factor in (1 / _STEP, 1.0, _STEP)]


def _check(asked: PrecisionTest) -> None:
    if asked.seeds < 2:
        raise UsageError(
            f"--seeds {asked.seeds}: expected 2 or more, since differences are measured by what "
            f"the seed changes; the full test has {SEEDS}."
        )
    strange = sorted(asked.rates.keys() - {"", *asked.optimizers})
    if strange:
        raise UsageError(
            f"--rates {strange[0]}=...: the test has no such optimizer, but "
            f"{', '.join(asked.optimizers)}. Add it to --optimizers, or leave its rates out."
        )
    sections = read_overrides(asked.request.config, asked.request.words).sections
    for section, name, option in (
        ("optimizer", "lr", "--rates"),
        ("protocol", "precision", "--precision and --against"),
    ):
        if name in sections[section]:
            raise UsageError(f"{name} is what the test varies. Give it by {option}.")
