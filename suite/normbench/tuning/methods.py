"""How trials are drawn: the methods of ``--method``, and the one thing that each has to do.

A method is a function ``propose(space, metric, trials, budget, draw_seed)``. It returns the values
of the next trials, as many as can be drawn before another result is known: Sobol and grid return
all that are missing from the budget at once, whatever became of earlier ones; a sequential method
returns one at a time and looks at :attr:`Trial.score <normbench.tuning.study.Trial.score>` and
:attr:`Trial.diverged <normbench.tuning.study.Trial.diverged>` of *trials*. What it returns must
depend on its arguments alone, so that an interrupted study goes on as if it had not been, and no
setting may come twice, as reports take trials for independent evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from normbench.descriptions import Metric
from normbench.errors import unknown_name
from normbench.parameters import Value
from normbench.tuning.space import Space
from normbench.tuning.study import Trial


class Propose(Protocol):
    """What a method does."""

    def __call__(
        self,
        space: Space,
        *,
        metric: Metric,
        trials: Sequence[Trial],
        budget: int,
        draw_seed: int,
    ) -> list[dict[str, Value]]:
        """Return the values of the trials that come after *trials*.

        Args:
            space: Where to draw from.
            metric: Which way is better.
            trials: Those drawn before, in order; complete if the method is sequential.
            budget: Number of trials in all; more than ``len(trials)``.
            draw_seed: What the draw depends on beside the space.

        Raises:
            UsageError: If the budget is impossible, or a package is missing.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to draw trials.

    Attributes:
        name: As ``--method`` takes it.
        summary: One line.
        target: ``module:function`` of its :class:`Propose`.
        sequential: Whether a trial depends on the results of earlier ones.
        extends: Whether a smaller budget's trials are the first of a larger one's.
        seeded: Whether the draw seed has an effect.
    """

    name: str
    summary: str
    target: str
    sequential: bool = False
    extends: bool = True
    seeded: bool = True

    @property
    def label(self) -> str:
        """The method for tables and sources: its name, and that it is sequential if it is."""
        return f"{self.name}, sequential" if self.sequential else self.name

    def load(self) -> Propose:
        """Import and return the function."""
        module, _, attribute = self.target.partition(":")
        function: Propose = getattr(import_module(module), attribute)
        return function


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="sobol",
            summary="scrambled Sobol points, drawn beforehand; a larger budget extends a smaller",
            target="normbench.tuning.sobol:propose",
        ),
        Method(
            name="grid",
            summary="every combination of choices and of evenly spaced levels",
            target="normbench.tuning.grid:propose",
            extends=False,
            seeded=False,
        ),
        Method(
            name="tpe",
            summary="tree-structured Parzen estimator of Optuna, one trial after another",
            target="normbench.tuning.tpe:propose",
            sequential=True,
        ),
    )
}


def find_method(name: str) -> Method:
    """Return the method called *name*.

    Raises:
        UsageError: If there is none.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
