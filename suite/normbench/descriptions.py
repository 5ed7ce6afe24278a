"""What plugins return: frozen descriptions of components, free of torch.

A description says all that ``list``, ``describe`` and resolving a request need. The code behind it
is named by ``factory`` and imported only when a run needs it: either ``"package.module:attribute"``
or, in a one-off plugin file, the callable itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, ClassVar, Literal

from normbench.errors import PluginError
from normbench.parameters import Parameter, Value, rule

Factory = str | Callable[..., Any]
SiteKind = Literal["conv", "dense", "sequence"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a component comes from.

    Attributes:
        title: Paper or project.
        reference: arXiv id, DOI or repository.
        licence: Licence of the code or data followed, where there is one.
        deviations: What differs from the source, in a sentence each.
    """

    title: str
    reference: str = ""
    licence: str = ""
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Component:
    """What every named thing has.

    Attributes:
        name: How users ask for it; lower case with underscores.
        summary: One line.
        version: Raised whenever its results change; part of every run's identity.
        source: Paper, project and licence.
        parameters: What it takes, with defaults and ranges.
        factory: The code behind it.
    """

    kind: ClassVar[str] = "component"

    name: str
    summary: str
    version: int = 1
    source: Source = Source(title="")
    parameters: tuple[Parameter, ...] = ()
    factory: Factory = ""

    def load(self) -> Any:
        """Import and return the factory.

        Raises:
            PluginError: If the module or attribute does not exist or fails to import.
        """
        if not isinstance(self.factory, str):
            return self.factory
        module, _, attribute = self.factory.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} could not be loaded from {self.factory!r}: "
                f"{type(error).__name__}: {error}. Repair or reinstall the package that offers it; "
                "a one-off plugin file gives the function itself, factory=fit."
            ) from error


@dataclass(frozen=True, kw_only=True)
class Norm(Component):
    """A normalization layer.

    The factory is called once for each site with a :class:`normbench.sites.Site` and the
    parameters, and returns a :class:`normbench.sites.Fitting`.

    Attributes:
        site_kinds: Kinds of site it can sit at.
        centres: Whether it removes the mean of what it normalizes, so that a bias in the layer
            before it has no effect worth training.
    """

    kind: ClassVar[str] = "norm"

    site_kinds: tuple[SiteKind, ...] = ("conv", "dense")
    centres: bool = False


@dataclass(frozen=True, kw_only=True)
class Optimizer(Component):
    """An optimizer.

    The factory is called with a list of parameter groups (``params``, ``role``, ``lr``,
    ``weight_decay`` where it takes one, ``invariances``) and the parameters, and returns a
    ``torch.optim.Optimizer``.

    Attributes:
        decoupled_weight_decay: Weight decay acts on the weights, not through the gradient; the
            optimizer then keeps its own default instead of the problem's L2 coefficient.
        needs_closure: ``step`` evaluates the loss itself, through a closure.
        capturable: ``step`` may be captured in a CUDA graph, with learning rates in tensors.
        elementwise: The update of each number depends on that number's history alone.
        averages_weights: The weights to evaluate are an average, reached by the optimizer's
            ``eval()`` and left by its ``train()``.
    """

    kind: ClassVar[str] = "optimizer"

    decoupled_weight_decay: bool = False
    needs_closure: bool = False
    capturable: bool = False
    elementwise: bool = True
    averages_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class Network(Component):
    """An architecture with numbered norm sites.

    The factory is called with a :class:`normbench.sites.Sites` and the parameters, and returns a
    ``torch.nn.Module``.
    """

    kind: ClassVar[str] = "network"


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One official file of a dataset: its path below the data folder, its MD5 and size in bytes.

    A path that ends in ``/`` is a folder. Without an MD5 - there is none for a folder, or none is
    known - only its presence is checked; the rest is left to the loader.
    """

    path: str
    md5: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """Real data with official train and test parts.

    The factory is called with a :class:`normbench.data.DataRequest` and the parameters, and returns
    a :class:`normbench.data.Data`.

    Attributes:
        content: What one example is, and so how batches are made of it: ``images`` and ``table``
            lie in memory; ``tokens`` is one long text, an example one token; ``files`` are images
            decoded as they are needed, the inputs their paths.
        shape: Shape of one example: (height, width, channels) for images, (T,) for tokens that
            are read T at a time.
        classes: Number of classes, 0 where targets are not classes.
        train_size: Examples in the official train part.
        test_size: Examples in the official test part.
        mean: Per-channel mean used to normalize, in units of the input range [0, 1].
        std: Per-channel standard deviation used to normalize.
        files: What must lie in the data folder; empty for embedded and generated data.
        download_size: Bytes that ``normbench prepare`` fetches.
        by_hand: Where normbench cannot fetch the files: what a user has to do, in a sentence.
    """

    kind: ClassVar[str] = "dataset"

    content: Literal["images", "table", "tokens", "files"] = "images"
    shape: tuple[int, ...] = ()
    classes: int = 0
    train_size: int = 0
    test_size: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    files: tuple[DataFile, ...] = ()
    download_size: int = 0
    by_hand: str = ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The number a problem is judged by.

    Attributes:
        name: Such as ``test_accuracy``; a part and one of the task's metrics.
        direction: Which way is better.
        worst: Score of a diverged run: chance accuracy, or the loss of knowing nothing. A finished
            run's loss counts as no worse.
        smallest_difference: Smallest difference of interest, in the metric's unit.
        target: Value that time-to-target waits for; None for no such column.
    """

    name: str
    direction: Literal["max", "min"]
    worst: float
    smallest_difference: float
    target: float | None = None

    def better(self, new: float, old: float) -> bool:
        """Whether *new* is strictly better than *old*."""
        return new > old if self.direction == "max" else new < old


@dataclass(frozen=True)
class Training:
    """The fields of a problem that a request may override as ``problem.NAME=VALUE``."""

    batch_size: int = rule(128, "examples in a training batch", kind="int", unit="examples", low=1)
    epochs: int = rule(100, "passes over the training part", kind="int", unit="epochs", low=1)
    weight_decay: float = rule(
        0.0, "L2 coefficient λ: the gradient of a weight w grows by λ·w", kind="float", low=0.0
    )
    augmentation: tuple[str, ...] = rule(
        (),
        "what is done to training images: pad_crop:PIXELS, flip, colour_jitter; to image files: "
        "random_resized_crop, flip",
        kind="strs",
    )


@dataclass(frozen=True, kw_only=True)
class Problem(Component):
    """A test problem: dataset, network, default norm, task and training defaults.

    The factory builds the task: it is called without arguments and returns a
    :class:`normbench.tasks.Task`.

    Attributes:
        dataset: Name of the dataset.
        network: Name of the network.
        network_parameters: Values of the network's parameters that differ from its defaults.
        norm: Default norm.
        training: Batch size, epochs, weight decay and augmentation.
        metric: What it is judged by.
        base: For a twin such as ``X_bn``: the problem ``X`` that it equals at its own norm.
    """

    kind: ClassVar[str] = "problem"

    dataset: str
    network: str
    network_parameters: Mapping[str, Value] = field(default_factory=dict)
    norm: str = "none"
    training: Training = Training()
    metric: Metric
    base: str = ""

    def twin(self, name: str, norm: str) -> Problem:
        """Return the problem *name* that equals this one with *norm* at every site."""
        summary = f"{self.summary}, with {norm} at every norm site"
        return replace(self, name=name, summary=summary, norm=norm, base=self.name)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Known hyper-parameters of an optimizer in one cell.

    Attributes:
        problem: Problem by its base name.
        norm: Norm by name.
        optimizer: Optimizer.
        protocol: Protocol it was tuned under.
        values: The hyper-parameters that differ from the optimizer's defaults.
        source: Who found it, how, and with which budget.
        origin: ``known`` if it was tuned here in this very cell, ``published`` if it was taken from
            elsewhere; the rows say which.
        ablation: Ablation it was tuned for, as changes to the default one.
        norm_parameters: The norm's parameters that differ from its defaults.
        rules: Words that changed the problem or the protocol when it was tuned, such as
            ``protocol.epochs=2``; it then holds under these alone.
        method: How its trials were drawn, where later ones depended on the results of earlier ones:
            ``tpe, sequential``. The rows say it.
    """

    problem: str
    norm: str
    optimizer: str
    protocol: str
    values: Mapping[str, Value]
    source: str
    origin: Literal["known", "published"] = "known"
    ablation: Mapping[str, Value] = field(default_factory=dict)
    norm_parameters: Mapping[str, Value] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Launcher(Component):
    """A way to get pending runs trained.

    The factory is called without arguments and returns a
    :class:`normbench.launchers.base.Launch`.
    """

    kind: ClassVar[str] = "launcher"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One array that an observer returns.

    Attributes:
        name: Its key.
        summary: What it holds, in a line; the formula stands in the observer's module.
        dims: Name of each dimension. Arrays of one observer that share a name share the length.
        unit: Unit of the values, empty for pure numbers.
        fixed: The same at every moment, such as the names along a dimension; kept once. Every other
            array is kept with one more dimension before these, ``moment``.
    """

    name: str
    summary: str
    dims: tuple[str, ...] = ()
    unit: str = ""
    fixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Observer(Component):
    """What looks at a network at moments of its training, without any effect on it.

    The factory is called with the parameters and returns a :class:`normbench.observers.Probe`.
    When it looks is asked for with the parameters ``every``, ``every_steps`` and ``batch_size``,
    which every observer has beside its own.

    Attributes:
        measures: The arrays that it returns.
    """

    kind: ClassVar[str] = "observer"

    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Suite(Component):
    """A set of cells, such as those of a paper's tables.

    Attributes:
        file: Path of the YAML file that lists them; see :mod:`normbench.suites.files`.
    """

    kind: ClassVar[str] = "suite"

    file: str
