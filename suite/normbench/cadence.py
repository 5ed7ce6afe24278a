"""What is asked of an observer: which one, with which parameters, and when it looks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from normbench.descriptions import Observer
from normbench.errors import UsageError
from normbench.parameters import Parameter, Value, checked
from normbench.plugins import Catalogue
from normbench.specs import ComponentSpec

# A look costs as much as a few steps; between so many it stays below a tenth of the training time.
LEAST_STEPS = 100

CADENCE = (
    Parameter(
        name="every",
        kind="float",
        default=None,
        summary="epochs between two moments, 0.1 is ten times an epoch; null: as few whole epochs "
        "as make 100 steps",
        unit="epochs",
        low=1e-6,
        optional=True,
    ),
    Parameter(
        name="every_steps",
        kind="int",
        default=None,
        summary="steps between two moments, in place of epochs",
        unit="steps",
        low=1,
        optional=True,
    ),
    Parameter(
        name="batch_size",
        kind="int",
        default=None,
        summary="training examples in the fixed batch that the observer is shown; null: as many as "
        "in a training batch, between 32 and 128",
        unit="examples",
        low=2,
        optional=True,
    ),
)
_OURS = frozenset(parameter.name for parameter in CADENCE)


@dataclass(frozen=True)
class Cadence:
    """When an observer looks: before the first step, at every multiple, and after the last step.

    With *every_steps* n the moments are the steps 0, n, 2n, ...; else they are the steps nearest to
    the epochs 0, *every*, 2·*every*, ... If neither is given, *every* is the least whole number of
    epochs that has :data:`LEAST_STEPS` steps. Steps are counted over the whole run; moment s lies
    behind s steps.

    Attributes:
        every: Epochs between two moments; None for as few as make :data:`LEAST_STEPS` steps.
        every_steps: Steps between two moments; None to count in epochs.
        epoch_steps: Steps of an epoch.
        last_step: Steps of the run.
    """

    every: float | None
    every_steps: int | None
    epoch_steps: int
    last_step: int

    @classmethod
    def of(cls, observer: ComponentSpec, *, epoch_steps: int, epochs: int) -> Cadence:
        """Return the cadence that was asked of *observer* in a run of so many *epochs*."""
        asked = observer.parameters
        every = None if asked["every"] is None else observer.number("every")
        given = asked["every_steps"]
        every_steps = None if given is None else int(observer.number("every_steps"))
        return cls(every, every_steps, epoch_steps, epochs * epoch_steps)

    @property
    def distance(self) -> float:
        """Steps between two moments that are counted in epochs."""
        every = self.every or math.ceil(LEAST_STEPS / self.epoch_steps)
        return every * self.epoch_steps

    def is_due(self, step: int) -> bool:
        """Whether the observer looks after *step* steps of the run."""
        if step in (0, self.last_step):
            return True
        if self.every_steps is not None:
            return step % self.every_steps == 0
        distance = self.distance
        return distance <= 1 or round(round(step / distance) * distance) == step


def asked_observers(words: Iterable[str], catalogue: Catalogue) -> tuple[ComponentSpec, ...]:
    """Return the observers that *words* such as ``activations:every=0.1:batch_size=64`` ask for.

    Raises:
        UsageError: If an observer or a parameter is unknown, does not fit, or comes twice.
    """
    observers = tuple(_asked(word, catalogue) for word in words)
    names = [observer.name for observer in observers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"observer {twice!r} is asked for twice. Give it once, at one cadence.")
    return observers


def own_parameters(observer: ComponentSpec) -> dict[str, Value]:
    """Return the parameters that the observer's factory takes, without those of the cadence."""
    return {name: value for name, value in observer.parameters.items() if name not in _OURS}


def _asked(word: str, catalogue: Catalogue) -> ComponentSpec:
    name, given = _parsed(word)
    observer = catalogue.get(Observer, name)
    values = checked((*CADENCE, *observer.parameters), given, f"observer {name}")
    return ComponentSpec(name=name, version=observer.version, parameters=values)


def _parsed(word: str) -> tuple[str, dict[str, str | None]]:
    """Split ``NAME:PARAMETER=VALUE:...``; a name may itself hold colons."""
    parts = word.split(":")
    names = list(takewhile(lambda part: "=" not in part, parts))
    pairs = [part.partition("=") for part in parts[len(names) :]]
    values = {key: None if value == "null" else value for key, _, value in pairs}
    whole = all(names) and all(key and sign for key, sign, _ in pairs)
    if not names or not whole or len(values) != len(pairs):
        raise UsageError(
            f"--observe {word!r} is not understood: expected NAME or NAME:PARAMETER=VALUE, such as "
            "activations:every=0.1, each parameter once."
        )
    return ":".join(names), values
