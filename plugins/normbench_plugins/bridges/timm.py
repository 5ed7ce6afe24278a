"""Optimizers and norms of the package timm, as ``timm:NAME``.

PyTorch Image Models. Wightman, R. 2019, github.com/huggingface/pytorch-image-models, Apache-2.0.
Optimizers are those that timm itself implements, variants included, under timm's names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from normbench import Norm, Optimizer, Parameter, Source, hookimpl
from normbench_plugins.bridges.packages import folder_of, release_of
from normbench_plugins.bridges.signatures import OptimizerClass, read_classes

PREFIX = "timm"
_LR = 1e-3
_ENTRY = re.compile(r"OptimInfo\((\s*name=.*?)^        \)", re.MULTILINE | re.DOTALL)
_DECOUPLING = ("decoupled", "decoupled_decay", "decoupled_weight_decay")
# Without a switch, λ·w joins the gradient before anything else.
_COUPLED = ("NAdamLegacy",)
# With a switch, what is not decoupled is still not that: λ·w joins what the moments make of it.
_OWN_DECAY = ("Lamb", "NvNovoGrad")
# It draws random numbers that no checkpoint holds.
_NOT_RESUMABLE = ("Kron",)


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer timm's optimizers."""
    folder = folder_of(PREFIX)
    return () if folder is None else tuple(_optimizers(folder / "optim", release_of(PREFIX)))


@hookimpl
def normbench_norms() -> Sequence[Norm]:
    """Offer timm's norms that come with a nonlinearity of their own, and its means-free ones."""
    if folder_of(PREFIX) is None:
        return ()
    version = release_of(PREFIX)
    return tuple(_norm(name, summary, version) for name, summary in _NORMS.items())


def _optimizers(folder: Path, version: int) -> Iterator[Optimizer]:
    texts = (path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    classes = {found.name: found for text in texts for found in read_classes(text)}
    registry = (folder / "_optim_factory.py").read_text(encoding="utf-8")
    for entry in sorted(_entries(registry), key=lambda entry: str(entry["name"])):
        found = classes.get(entry["opt_class"])
        if found is None or found.required or entry.get("second_order"):
            continue
        if found.name not in _NOT_RESUMABLE:
            yield _optimizer(entry, found, version)


def _optimizer(entry: Mapping[str, Any], found: OptimizerClass, version: int) -> Optimizer:
    name, fixed = entry["name"], entry.get("defaults", {})
    if entry.get("has_momentum"):
        fixed = {"momentum": 0.9, **fixed}
    given = {**found.arguments, **fixed}
    switched_off = any(given.get(switch) is False for switch in _DECOUPLING)
    coupled = found.name in _COUPLED or (switched_off and found.name not in _OWN_DECAY)
    return Optimizer(
        name=f"{PREFIX}:{name}",
        summary=entry["description"],
        version=version,
        source=Source(
            title=f"PyTorch Image Models (timm), optimizer {name}",
            reference="github.com/huggingface/pytorch-image-models",
            licence="Apache-2.0",
        ),
        parameters=found.parameters(fixed, _LR),
        factory=f"normbench_plugins.bridges.timm_factories:{name}",
        decoupled_weight_decay=not coupled,
        elementwise=False,
    )


def _entries(registry: str) -> Iterator[dict[str, Any]]:
    """Yield timm's entries: name, class, description, and values that differ from the class's."""
    for found in _ENTRY.finditer(registry):
        call = ast.parse(f"f({found[1]})", mode="eval").body
        assert isinstance(call, ast.Call)  # noqa: S101 - it was written as one
        yield {word.arg: _value(word.value) for word in call.keywords if word.arg}


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else _literal(node)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


_EVONORM = "EvoNorm-{} (arXiv:2004.02967) with its own nonlinearity"
_NORMS: Mapping[str, str] = {
    "evonorm_b0": _EVONORM.format("B0"),
    "evonorm_b1": _EVONORM.format("B1"),
    "evonorm_b2": _EVONORM.format("B2"),
    "evonorm_s0": _EVONORM.format("S0"),
    "evonorm_s0a": _EVONORM.format("S0a"),
    "evonorm_s1": _EVONORM.format("S1"),
    "evonorm_s1a": _EVONORM.format("S1a"),
    "evonorm_s2": _EVONORM.format("S2"),
    "evonorm_s2a": _EVONORM.format("S2a"),
    "filter_response_norm_tlu": "filter response norm (arXiv:1911.09737) with its thresholded unit",
    "simple_norm": "x / standard deviation over channels, at each position",
    "rms_norm": "x / root mean square over channels, at each position",
}
_GROUPED = ("evonorm_s",)


def _norm(name: str, summary: str, version: int) -> Norm:
    parameters = (
        Parameter(
            name="num_groups",
            kind="int",
            default=8,
            summary="groups at every site; must divide its channels",
            unit="groups",
            low=1,
        ),
    )
    return Norm(
        name=f"{PREFIX}:{name}",
        summary=summary,
        version=version,
        source=Source(
            title="PyTorch Image Models (timm)",
            reference="github.com/huggingface/pytorch-image-models",
            licence="Apache-2.0",
            deviations=("Where no activation follows at once, it acts as its affine part.",),
        ),
        parameters=parameters if name.startswith(_GROUPED) else (),
        factory=f"normbench_plugins.bridges.timm_factories:{name}",
        site_kinds=("conv",),
    )
