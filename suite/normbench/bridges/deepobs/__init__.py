"""DeepOBS results: read in the three forms that were ever written, and written in the 1.2 form.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499. DeepOBS itself is not needed.
"""

from __future__ import annotations

from normbench.bridges.deepobs.reader import DeepobsRun, read_results, read_run
from normbench.bridges.deepobs.summary import SettingSummary, summarise
from normbench.bridges.deepobs.writer import setting_folder, write_results

__all__ = [
    "DeepobsRun",
    "SettingSummary",
    "read_results",
    "read_run",
    "setting_folder",
    "summarise",
    "write_results",
]
