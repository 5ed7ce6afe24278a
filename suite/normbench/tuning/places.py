"""Where along its axis a value lies, in [0, 1], for statistics and figures.

Places are taken on the axis' own scale, so that distances and shares of a log range are those of
the logarithm. Numbers that are choices lie evenly, in ascending order; other choices have no order,
and their place is only a name.
"""

from __future__ import annotations

from normbench.parameters import Value
from normbench.tuning.space import Axis


def place(axis: Axis, value: Value) -> float:
    """Return the place of *value* along *axis*."""
    if axis.search.scale != "choice":
        return axis.position(value)
    choices = ordered_choices(axis)
    return choices.index(value) / max(len(choices) - 1, 1)


def ordered_choices(axis: Axis) -> list[Value]:
    """Return the choices of *axis*, numbers in ascending order, others as they are declared."""
    choices = list(axis.search.choices)
    return sorted(choices, key=number) if axis.numeric else choices


def number(value: Value) -> float:
    """Return *value*, which is a number, as a float."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
