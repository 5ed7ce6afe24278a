"""The optimizers of the package pytorch-optimizer, as ``pytorch_optimizer:NAME``.

pytorch_optimizer: optimizer and learning-rate scheduler collections in PyTorch. Kim, H. 2021,
github.com/kozistr/pytorch_optimizer, Apache-2.0. Names are the package's own: its classes' names in
lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from normbench import Optimizer, Source, hookimpl
from normbench_plugins.bridges.packages import folder_of, release_of
from normbench_plugins.bridges.signatures import OptimizerClass, read_classes

PREFIX = "pytorch_optimizer"
_DISTRIBUTION = "pytorch-optimizer"
_LIST = re.compile(r"^OPTIMIZER_LIST\b.*?= \[(.*?)^\]", re.MULTILINE | re.DOTALL)
_LR = 1e-3
# Text of classes that need more than parameter groups: a graph of the gradient, a choice between
# two algorithms for each group, another package, or layers of two dimensions only.
_NEEDS_MORE = ("hutchinson", "use_muon", "einops", "TransformDCT", "only supports 2D parameters")
# Their state holds objects, which a checkpoint does not.
_NOT_RESUMABLE = ("Conda",)
# They train adapters, or few weights of a trained network.
_FOR_FINE_TUNING = ("LoRARite", "SaRA")
# They have the switch between decay through the gradient and on the weights, but the first is
# something else in them.
_OWN_DECAY = ("Adan", "NovoGrad")


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer every optimizer of the package that parameter groups alone can make."""
    folder = folder_of(PREFIX)
    return () if folder is None else tuple(_offered(folder))


def _offered(folder: Path) -> Iterator[Optimizer]:
    version = release_of(_DISTRIBUTION)
    for name, found in sorted(_listed(folder).items()):
        left_out = found.name in (*_NOT_RESUMABLE, *_FOR_FINE_TUNING)
        if not (found.required or left_out or _needs_more(found)):
            yield _optimizer(name, found, version)


def _optimizer(name: str, found: OptimizerClass, version: int) -> Optimizer:
    coupled = found.arguments.get("weight_decouple") is False and found.name not in _OWN_DECAY
    return Optimizer(
        name=f"{PREFIX}:{name}",
        summary=found.summary,
        version=version,
        source=Source(
            title=f"pytorch_optimizer, class {found.name}",
            reference="github.com/kozistr/pytorch_optimizer",
            licence="Apache-2.0",
        ),
        parameters=found.parameters({}, _LR),
        factory=f"normbench_plugins.bridges.pytorch_optimizer_factories:{name}",
        decoupled_weight_decay=not coupled,
        needs_closure="NoClosureError" in found.text,
        elementwise=False,
        averages_weights="def eval(" in found.text and "def train(" in found.text,
    )


def _listed(folder: Path) -> Mapping[str, OptimizerClass]:
    """Return the classes in the package's own list of optimizers, by its names for them."""
    home = folder / "optimizer"
    listed = _LIST.search((home / "__init__.py").read_text(encoding="utf-8"))
    names = set(re.findall(r"\w+", listed[1])) if listed else set()
    texts = (path.read_text(encoding="utf-8") for path in home.rglob("*.py"))
    classes = (found for text in texts for found in read_classes(text))
    return {found.name.lower(): found for found in classes if found.name in names}


def _needs_more(found: OptimizerClass) -> bool:
    return any(sign in found.text for sign in _NEEDS_MORE)
