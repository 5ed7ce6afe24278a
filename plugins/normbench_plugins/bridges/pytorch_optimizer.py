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


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer every optimizer of the package that parameter groups alone can make."""
    folder = folder_of(PREFIX)
    return () if folder is None else tuple(_offered(folder))


def _offered(folder: Path) -> Iterator[Optimizer]:
    version = release_of(_DISTRIBUTION)
    for name, found in sorted(_listed(folder).items()):
        if found.required or needs_more(found):
            continue
        yield Optimizer(
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
            decoupled_weight_decay=found.arguments.get("weight_decouple") is not False,
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


def needs_more(found: OptimizerClass) -> bool:
    """Whether the class needs what the harness does not give: a graph of the gradient."""
    return "hutchinson" in found.text.lower()
