"""The run store: what was asked for, what is running, and what came of it, in plain files.

Many processes on many machines share a store without a server. Renaming a folder and linking a file
are all they rely on to agree. Whole files appear whole; a process may die between any two steps.
"""

from __future__ import annotations

from normbench.places import store_path
from normbench.store.attempt import Attempt
from normbench.store.decisions import RecordedDecision, record_decision
from normbench.store.declarations import (
    Declaration,
    declare,
    read_declaration,
    read_declarations,
    readable_declarations,
)
from normbench.store.folders import AttemptInfo, RunState
from normbench.store.index import Index
from normbench.store.index_reading import index_run
from normbench.store.index_results import Outcome
from normbench.store.index_rows import IndexedRow
from normbench.store.indexed_run import IndexedRun
from normbench.store.merge import MergeReport, merge_into, merge_store
from normbench.store.run import StoredRun
from normbench.store.series import observers_of
from normbench.store.shown import Shown, add_shown, read_shown
from normbench.store.store import RunStore
from normbench.store.verifications import (
    Verification,
    precision_in,
    precision_label,
    read_verifications,
)

__all__ = [
    "Attempt",
    "AttemptInfo",
    "Declaration",
    "Index",
    "IndexedRow",
    "IndexedRun",
    "MergeReport",
    "Outcome",
    "RecordedDecision",
    "RunState",
    "RunStore",
    "Shown",
    "StoredRun",
    "Verification",
    "add_shown",
    "declare",
    "index_run",
    "merge_into",
    "merge_store",
    "observers_of",
    "precision_in",
    "precision_label",
    "read_declaration",
    "read_declarations",
    "read_shown",
    "read_verifications",
    "readable_declarations",
    "record_decision",
    "store_path",
]
