"""The words of ``--search``, and the space that they make of an optimizer's own searches."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from normbench.errors import UsageError, unknown_name
from normbench.parameters import Parameter, Search, Value, typed
from normbench.tuning.space import Axis, Space

_FORMS = "log:LOW:HIGH, linear:LOW:HIGH, int:LOW:HIGH, choice:A,B,C, grid:A,B,C or none"
_RANGES = ("log", "linear", "int")
_LISTS = ("choice", "grid")


class NothingToSearchError(UsageError):
    """Every parameter of an optimizer is fixed or taken out of the search."""


def make_space(
    parameters: Mapping[str, Parameter], given: Sequence[str], fixed: Collection[str], owner: str
) -> Space:
    """Return the space of what is searched: by *given* words, else as the parameters declare.

    Args:
        parameters: What may be searched, by word; bare words are the optimizer's.
        given: Words of ``--search``.
        fixed: Words that have a value, and are not searched unless *given* says so.
        owner: The optimizer, for messages.

    Raises:
        UsageError: If a word is none or contradicts another.
        NothingToSearchError: If nothing is left to search.
    """
    axes = {
        word: _axis(word, parameter, parameter.search)
        for word, parameter in parameters.items()
        if parameter.search is not None and word not in fixed and "." not in word
    }
    seen: set[str] = set()
    for text in given:
        word, search = _read(text, parameters, owner)
        if word in seen:
            raise UsageError(f"--search {word} is given twice. Leave one of them out.")
        if word in fixed and search is not None:
            raise UsageError(
                f"--search {text} and the word {word}=VALUE contradict each other. Leave one out."
            )
        seen.add(word)
        axes.pop(word, None)
        if search is not None:
            axes[word] = _axis(word, parameters[word], search)
    if not axes:
        raise NothingToSearchError(
            f"nothing is left to search for {owner}: every parameter is fixed or taken out. Give "
            "one: --search lr=log:0.001:1"
        )
    return Space(tuple(axes.values()))


def _axis(word: str, parameter: Parameter, search: Search) -> Axis:
    return Axis(
        word=word,
        search=search,
        floor=parameter.low,
        ceiling=parameter.high,
    )


def _read(text: str, parameters: Mapping[str, Parameter], owner: str) -> tuple[str, Search | None]:
    """Return the word and the search that a word of ``--search`` gives it; None for no search."""
    word, equals, form = text.partition("=")
    scale, _, rest = form.partition(":")
    if not equals or scale not in (*_RANGES, *_LISTS, "none") or bool(rest) == (scale == "none"):
        raise UsageError(f"--search {text}: expected NAME=FORM with {_FORMS}.")
    if word not in parameters:
        raise unknown_name(f"parameter to search with {owner}", word, parameters)
    parameter = parameters[word]
    if scale == "none":
        return word, None
    if parameter.kind in ("floats", "ints", "strs"):
        raise UsageError(
            f"--search {text}: {word} takes lists, which cannot be searched from the command line. "
            f"Tune with one value after another: {word}=A,B"
        )
    if scale in _RANGES:
        return word, _range(text, scale, rest, parameter)
    return word, _choices(text, scale, rest, parameter)


def _range(text: str, scale: str, rest: str, parameter: Parameter) -> Search:
    try:
        low, high = (float(bound) for bound in rest.split(":"))
    except ValueError:
        raise UsageError(f"--search {text}: expected two numbers, such as {scale}:1:10.") from None
    whole = scale == "int"
    if parameter.kind not in ("float", "int") or (parameter.kind == "int") > whole:
        form = "int:LOW:HIGH or choice:A,B,C" if parameter.kind == "int" else "choice:A,B,C"
        raise UsageError(
            f"--search {text}: {parameter.name} takes {parameter.range}. Search it by {form}."
        )
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"--search {text} is empty: expected LOW below HIGH. A single value is a word: "
            f"{parameter.name}=VALUE"
        )
    if scale == "log" and low <= 0:
        raise UsageError(f"--search {text}: a log scale starts above 0. Give another LOW.")
    if whole and (low != round(low) or high != round(high)):
        raise UsageError(f"--search {text}: expected whole numbers, such as int:1:10.")
    for bound in (low, high):
        _checked(text, parameter, bound)
    return Search(scale=scale, low=low, high=high)  # type: ignore[arg-type]


def _choices(text: str, scale: str, rest: str, parameter: Parameter) -> Search:
    items = [None if item == "null" else item for item in rest.split(",") if item]
    values = list(dict.fromkeys(_checked(text, parameter, item) for item in items))
    if not values:
        raise UsageError(f"--search {text} is empty: expected values, such as {scale}:1,10.")
    if len(values) == 1:
        raise UsageError(
            f"--search {text} has one value: expected two or more that differ. A single value is a "
            f"word: {text.partition('=')[0]}={typed(values[0])}"
        )
    if scale == "grid":
        numbers = [value for value in values if isinstance(value, int | float)]
        if len(numbers) < len(values) or parameter.kind == "bool":
            raise UsageError(
                f"--search {text}: a grid has numbers as levels. Give choice:{rest} instead."
            )
        return Search(scale="choice", choices=tuple(sorted(numbers)))
    return Search(scale="choice", choices=tuple(values))


def _checked(text: str, parameter: Parameter, value: object) -> Value:
    try:
        return parameter.check(value, "")
    except UsageError:
        raise UsageError(
            f"--search {text}: {parameter.name} takes {parameter.range}. Stay within that."
        ) from None
