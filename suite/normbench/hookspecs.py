"""All hooks on one page: what a plugin may offer, and what normbench expects of it.

Every hook takes no argument and returns a sequence of frozen descriptions. A plugin is any object
(usually a module) with functions of these names marked by :data:`normbench.hookimpl`; installed
packages name theirs under the entry-point group ``normbench``, one-off files are given with
``--plugin FILE``. Hooks are called whenever names are listed, so they must not import torch unless
the plugin is a one-off file: name the code by ``"package.module:attribute"`` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import pluggy

if TYPE_CHECKING:
    from normbench.descriptions import (
        Dataset,
        Launcher,
        Network,
        Norm,
        Observer,
        Optimizer,
        Problem,
        Setting,
        Suite,
    )
    from normbench.publications import Publication
    from normbench.rules import Protocol

PROJECT = "normbench"

_Hook = TypeVar("_Hook", bound=Callable[..., object])


def _hookspec(function: _Hook) -> _Hook:
    return pluggy.HookspecMarker(PROJECT)(function)


def hookimpl(function: _Hook) -> _Hook:
    """Mark *function* as a plugin's implementation of the hook of the same name."""
    return pluggy.HookimplMarker(PROJECT)(function)


@_hookspec
def normbench_datasets() -> Sequence[Dataset]:  # type: ignore[empty-body]
    """Offer datasets.

    The factory gets a :class:`normbench.data.DataRequest` and the dataset's parameters, and returns
    a :class:`normbench.data.Data` with the official train and test parts. It reads from the
    request's folder only and never downloads unless the request says so.
    """


@_hookspec
def normbench_networks() -> Sequence[Network]:  # type: ignore[empty-body]
    """Offer networks.

    The factory gets a :class:`normbench.sites.Sites` and the network's parameters, asks for each
    norm site in forward order, and returns a ``torch.nn.Module``.
    """


@_hookspec
def normbench_problems() -> Sequence[Problem]:  # type: ignore[empty-body]
    """Offer test problems: a dataset, a network, a task and training defaults.

    The factory takes nothing and returns a :class:`normbench.tasks.Task`.
    """


@_hookspec
def normbench_norms() -> Sequence[Norm]:  # type: ignore[empty-body]
    """Offer normalization layers.

    The factory gets a :class:`normbench.sites.Site` and the norm's parameters, and returns a
    :class:`normbench.sites.Fitting`.
    """


@_hookspec
def normbench_optimizers() -> Sequence[Optimizer]:  # type: ignore[empty-body]
    """Offer optimizers.

    The factory gets a list of parameter groups and the optimizer's parameters as keywords, and
    returns a ``torch.optim.Optimizer``. One parameter must be called ``lr``; one called
    ``weight_decay`` receives the problem's L2 coefficient unless the description says that its
    weight decay is decoupled.
    """


@_hookspec
def normbench_protocols() -> Sequence[Protocol]:  # type: ignore[empty-body]
    """Offer protocols: the written, versioned rules of a comparison."""


@_hookspec
def normbench_settings() -> Sequence[Setting]:  # type: ignore[empty-body]
    """Offer known hyper-parameters, each for one cell and with its origin."""


@_hookspec
def normbench_launchers() -> Sequence[Launcher]:  # type: ignore[empty-body]
    """Offer launchers, which get pending runs of a store trained.

    The factory takes nothing and returns a :class:`normbench.launchers.base.Launch`.
    """


@_hookspec
def normbench_observers() -> Sequence[Observer]:  # type: ignore[empty-body]
    """Offer observers, which record series while a network trains and leave the training alone.

    The factory gets the observer's own parameters and returns a
    :class:`normbench.observers.Probe`, whose ``observe`` is called with a
    :class:`normbench.observers.View` at every moment that is due and returns the described arrays.
    """


@_hookspec
def normbench_suites() -> Sequence[Suite]:  # type: ignore[empty-body]
    """Offer suites: sets of cells, each listed in a YAML file of the plugin's."""


@_hookspec
def normbench_publications() -> Sequence[Publication]:  # type: ignore[empty-body]
    """Offer published numbers, to be shown beside ours with ``normbench leaderboard --published``.

    The factory gets the publication's name and returns a sequence of
    :class:`normbench.PublishedResult`.
    """
