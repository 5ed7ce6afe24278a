"""Suites: sets of cells written down in a file, such as all cells of a paper's tables."""

from __future__ import annotations

from normbench.suites.expand import Exclusion, Plan, expand
from normbench.suites.files import SuiteFile, find_suite

__all__ = ["Exclusion", "Plan", "SuiteFile", "expand", "find_suite"]
