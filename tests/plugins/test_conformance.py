"""normbench's own norms and optimizers pass what it asks of everybody's."""

from __future__ import annotations

import pytest

from normbench import Norm, Optimizer
from normbench.plugins import load_catalogue
from normbench.testing import norm_checks, optimizer_checks

CATALOGUE = load_catalogue()


def own(kind: type) -> list:
    """Return what normbench itself offers of *kind*; adapters of other packages are theirs."""
    components = [offer.component for offer in CATALOGUE.offers(kind)]
    return [component for component in components if ":" not in component.name]


@pytest.mark.parametrize("check", norm_checks(), ids=str)
@pytest.mark.parametrize("norm", own(Norm), ids=lambda norm: norm.name)
def test_norm_keeps_the_contract(norm, check):
    """Each built-in norm passes each check that ``normbench check-plugin`` makes."""
    check(norm)


@pytest.mark.parametrize("check", optimizer_checks(), ids=str)
@pytest.mark.parametrize("optimizer", own(Optimizer), ids=lambda optimizer: optimizer.name)
def test_optimizer_keeps_the_contract(optimizer, check):
    """Each built-in optimizer passes each check that ``normbench check-plugin`` makes."""
    check(optimizer)
