"""Tuning: trials of a cell, drawn beforehand, chosen on validation, kept as a known setting."""

from __future__ import annotations

from normbench.tuning.api import tune
from normbench.tuning.conduct import Conduct, TuningReport
from normbench.tuning.plan import Tuning
from normbench.tuning.record import read_study, studies
from normbench.tuning.study import Study, Trial

__all__ = [
    "Conduct",
    "Study",
    "Trial",
    "Tuning",
    "TuningReport",
    "read_study",
    "studies",
    "tune",
]
