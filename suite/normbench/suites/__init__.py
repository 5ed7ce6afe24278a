"""Suites: sets of cells written down in a file, such as all cells of a paper's tables."""

from __future__ import annotations

from normbench.suites.expand import Exclusion, Plan, as_known_now, expand
from normbench.suites.files import SuiteFile, Trials, find_suite, suite_name

__all__ = [
    "Exclusion",
    "Plan",
    "SuiteFile",
    "Trials",
    "as_known_now",
    "expand",
    "find_suite",
    "suite_name",
]
