"""Parameters of optimizers, read from the source text of their classes.

Importing a package of optimizers takes seconds, which ``normbench list`` does not have.
Constructors are found by their text, and only their head is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from normbench import Parameter, Search, Value

_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_HEAD = re.compile(
    r"^    def __init__\(\s*self,(.*?)\)(?:\s*->\s*None)?:[ ]*(?:#[^\n]*)?$",
    re.MULTILINE | re.DOTALL,
)
_SUMMARY = re.compile(r'^    r?"""\s*(.+?)(?:\n\s*\n|""")', re.MULTILINE | re.DOTALL)
# Kernels, and whether decay is decoupled, which decides where the coefficient comes from.
_NOT_OFFERED = frozenset(
    {"capturable", "differentiable", "foreach", "fused", "maximize", "verbose"}
    | {"decoupled", "decoupled_decay", "decoupled_weight_decay", "weight_decouple"}
)
_SHARES = ("beta", "momentum", "alpha", "rho")
_MISSING = object()


@dataclass(frozen=True)
class OptimizerClass:
    """What the text of a class says.

    Attributes:
        name: Its name.
        summary: First sentence of its docstring.
        text: All of it.
        arguments: Default value of each argument after ``params``; those without one are missing.
        annotations: Source of an argument's annotation, where its default leaves the type open.
        required: Arguments without a default, ``params`` aside.
    """

    name: str
    summary: str
    text: str
    arguments: Mapping[str, Any]
    annotations: Mapping[str, str]
    required: tuple[str, ...]

    def parameters(self, defaults: Mapping[str, Any], lr: float) -> tuple[Parameter, ...]:
        """Return what can be set by a word: numbers, switches, words and tuples of numbers.

        Args:
            defaults: Values that the package itself gives in place of the signature's.
            lr: Learning rate where neither says one.
        """
        values = {**self.arguments, **defaults}
        if not isinstance(values.get("lr"), int | float):
            values["lr"] = lr
        found = (
            _parameter(name, value, self.annotations.get(name, ""))
            for name, value in values.items()
            if name not in _NOT_OFFERED
        )
        return tuple(parameter for parameter in found if parameter is not None)


def read_classes(text: str) -> Iterator[OptimizerClass]:
    """Yield every class in *text* whose constructor takes ``params`` and ``lr``."""
    _, *pieces = _CLASS.split(text)
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        head = _HEAD.search(body)
        if head is None or "params" not in head[1] or "lr" not in head[1]:
            continue
        function = ast.parse(f"def f({head[1]}): pass").body[0]
        assert isinstance(function, ast.FunctionDef)  # noqa: S101 - it was written as one
        arguments = dict(_arguments(function.args))
        if "params" in arguments and "lr" in arguments:
            yield _optimizer_class(name, body, arguments)


def _optimizer_class(
    name: str, body: str, arguments: Mapping[str, tuple[Any, str]]
) -> OptimizerClass:
    summary = _SUMMARY.search(body)
    words = " ".join(summary[1].split()).partition(". ")[0].rstrip(".") if summary else name
    known = {n: value for n, (value, _) in arguments.items() if value is not _MISSING}
    return OptimizerClass(
        name=name,
        summary=words,
        text=body,
        arguments={n: value for n, value in known.items() if n != "params"},
        annotations={n: annotation for n, (_, annotation) in arguments.items()},
        required=tuple(n for n in arguments if n not in known and n not in ("params", "lr")),
    )


def _arguments(head: ast.arguments) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield name, default and annotation of each argument; only a literal counts as a default."""
    plain = [*head.posonlyargs, *head.args]
    defaults = [None] * (len(plain) - len(head.defaults)) + head.defaults
    for argument, default in [
        *zip(plain, defaults, strict=True),
        *zip(head.kwonlyargs, head.kw_defaults, strict=True),
    ]:
        value = _literal(default)
        # Only where the default leaves the type open.
        open_type = argument.annotation is not None and type(value) in (float, int, type(None))
        annotation = ast.unparse(argument.annotation) if open_type else ""
        yield argument.arg, (value, annotation)


def _literal(node: ast.expr | None) -> Any:
    if node is None:
        return _MISSING
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _MISSING


def _parameter(name: str, default: Any, annotation: str) -> Parameter | None:
    """Return the parameter for an argument; None if no word could say its value."""
    summary = f"{name} of the original"
    if name == "lr":
        lr = float(default)
        search = Search(scale="log", low=lr / 100, high=lr * 100)
        return Parameter(
            name="lr", kind="float", default=lr, summary="learning rate", low=0.0, search=search
        )
    kind = _kind(default, annotation)
    if kind is None:
        return None
    optional = "None" in annotation or "Optional" in annotation
    value: Value = float(default) if kind == "float" and default is not None else default
    low = 0.0 if name == "weight_decay" or name.startswith(_SHARES) else None
    return Parameter(
        name=name,
        kind=kind,
        default=value,
        summary=summary,
        low=low if kind in ("float", "floats") else None,
        optional=optional,
    )


def _kind(default: Any, annotation: str) -> Any:
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, str):
        return "str"
    if isinstance(default, tuple):
        return "floats" if all(isinstance(item, int | float) for item in default) else None
    words = set(re.findall(r"\w+", annotation)) - {"Optional", "None", "Union", "Tensor"}
    if isinstance(default, float) or (isinstance(default, int) and words != {"int"}):
        return "float"
    if isinstance(default, int):
        return "int"
    return {frozenset({"float"}): "float", frozenset({"int"}): "int"}.get(frozenset(words))
