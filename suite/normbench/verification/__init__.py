"""Tests of whether a precision gives the results of another one."""

from __future__ import annotations

from normbench.verification.conduct import TestReport, plan_here, run_test
from normbench.verification.plan import Plan, PrecisionTest

__all__ = ["Plan", "PrecisionTest", "TestReport", "plan_here", "run_test"]
