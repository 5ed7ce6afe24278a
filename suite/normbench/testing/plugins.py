"""All checks of everything that one plugin offers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from normbench.descriptions import Component, Dataset, Network, Norm, Optimizer, Problem
from normbench.errors import unknown_name
from normbench.plugins import Catalogue
from normbench.testing.cases import problem_case
from normbench.testing.checking import Check, Finding, findings
from normbench.testing.datasets import DATASET_CHECKS, DatasetCase
from normbench.testing.networks import NETWORK_CHECKS
from normbench.testing.norms import NORM_CHECKS
from normbench.testing.optimizers import OPTIMIZER_CHECKS
from normbench.testing.problems import PROBLEM_CHECKS

T = TypeVar("T")
_NAMES = {
    check.name
    for checks in (NORM_CHECKS, OPTIMIZER_CHECKS, DATASET_CHECKS, NETWORK_CHECKS, PROBLEM_CHECKS)
    for check in checks
}


def check_names() -> list[str]:
    """Return the names of all checks."""
    return sorted(_NAMES)


def check_components(
    components: Collection[Component],
    catalogue: Catalogue,
    folder: Path,
    skip: Collection[str] = (),
) -> Iterator[list[Finding]]:
    """Yield the findings on each of *components*, those of kinds without checks left out.

    Args:
        components: What a plugin offers.
        catalogue: Where the parts of problems are looked up.
        folder: The data folder.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If a name to skip is no check's, or a part of a problem does not exist.
    """
    for wrong in skip:
        if wrong not in check_names():
            raise unknown_name("check", wrong, check_names())
    for component in components:
        found = _findings(component, catalogue, folder, skip)
        if found:
            yield found


def is_checked(component: Component) -> bool:
    """Whether there are checks for *component*: not for twins of problems, nor for rules."""
    if isinstance(component, Problem):
        return not component.base
    return isinstance(component, Norm | Optimizer | Dataset | Network)


def _findings(
    component: Component, catalogue: Catalogue, folder: Path, skip: Collection[str]
) -> list[Finding]:
    if isinstance(component, Norm):
        return _run(NORM_CHECKS, component, component, skip)
    if isinstance(component, Optimizer):
        return _run(OPTIMIZER_CHECKS, component, component, skip)
    if isinstance(component, Dataset):
        return _run(DATASET_CHECKS, DatasetCase(component, folder), component, skip)
    if isinstance(component, Network):
        return _run(NETWORK_CHECKS, component, component, skip)
    if isinstance(component, Problem) and is_checked(component):
        case = problem_case(component, catalogue, folder)
        return _run(PROBLEM_CHECKS, case, component, skip)
    return []


def _run(
    checks: Sequence[Check[T]], subject: T, component: Component, skip: Collection[str]
) -> list[Finding]:
    """Run *checks*, of which a name to skip may be none: it may belong to another kind."""
    own = {check.name for check in checks} & set(skip)
    return findings(checks, subject, component.kind, component.name, own)
