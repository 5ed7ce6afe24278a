"""The run store: what was asked for, what is running, and what came of it, in plain files.

Many processes on many machines share a store without a server. Renaming a folder and linking a file
are all they rely on to agree. Whole files appear whole; a process may die between any two steps.
"""

from __future__ import annotations

from normbench.places import store_path
from normbench.store.attempt import Attempt
from normbench.store.declarations import (
    Declaration,
    declare,
    read_declaration,
    read_declarations,
)
from normbench.store.folders import AttemptInfo, RunState
from normbench.store.index import Index
from normbench.store.index_reading import index_run
from normbench.store.index_results import Outcome
from normbench.store.index_rows import IndexedRow
from normbench.store.indexed_run import IndexedRun
from normbench.store.merge import MergeReport, merge_store
from normbench.store.run import StoredRun
from normbench.store.series import observers_of
from normbench.store.store import RunStore

__all__ = [
    "Attempt",
    "AttemptInfo",
    "Declaration",
    "Index",
    "IndexedRow",
    "IndexedRun",
    "MergeReport",
    "Outcome",
    "RunState",
    "RunStore",
    "StoredRun",
    "declare",
    "index_run",
    "merge_store",
    "observers_of",
    "read_declaration",
    "read_declarations",
    "store_path",
]
