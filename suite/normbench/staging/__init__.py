"""Seeds added in declared stages until a row's verdict says something: ``--until-decided``."""

from __future__ import annotations

from normbench.staging.conduct import run_staged
from normbench.staging.decision import Decision, Look
from normbench.staging.plan import StagePlan, Staging, plan_stages
from normbench.staging.stages import MOST_SEEDS, chosen_stages

__all__ = [
    "MOST_SEEDS",
    "Decision",
    "Look",
    "StagePlan",
    "Staging",
    "chosen_stages",
    "plan_stages",
    "run_staged",
]
