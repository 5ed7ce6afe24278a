"""Checks for plugin authors: does a norm, an optimizer or a problem keep normbench's contracts?

``normbench check-plugin PACKAGE_OR_FILE`` runs them all. In a test-suite of one's own::

    import pytest
    from normbench import testing
    from my_package.plugin import MY_NORM, MY_OPTIMIZER

    @pytest.mark.parametrize("check", testing.norm_checks(), ids=str)
    def test_norm(check):
        check(MY_NORM)

    @pytest.mark.parametrize("check", testing.optimizer_checks(), ids=str)
    def test_optimizer(check):
        check(MY_OPTIMIZER)

A check that fails raises :class:`ContractError`, an ``AssertionError`` whose message says what was
seen, what is expected, and what to change. Problems and datasets are checked as
:class:`ProblemCase` and :class:`DatasetCase`.
"""

from __future__ import annotations

from normbench.testing.cases import ProblemCase, problem_case
from normbench.testing.checking import Check, ContractError, Finding
from normbench.testing.datasets import DatasetCase, check_dataset, dataset_checks
from normbench.testing.networks import check_network, network_checks
from normbench.testing.norms import check_norm, norm_checks
from normbench.testing.optimizers import check_optimizer, optimizer_checks
from normbench.testing.plugins import check_components, check_names, is_checked
from normbench.testing.problems import check_problem, problem_checks

__all__ = [
    "Check",
    "ContractError",
    "DatasetCase",
    "Finding",
    "ProblemCase",
    "check_components",
    "check_dataset",
    "check_names",
    "check_network",
    "check_norm",
    "check_optimizer",
    "check_problem",
    "dataset_checks",
    "is_checked",
    "network_checks",
    "norm_checks",
    "optimizer_checks",
    "problem_case",
    "problem_checks",
]
