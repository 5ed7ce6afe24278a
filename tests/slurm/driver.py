"""A driver to be killed: submits the runs of a store and watches them, saving at every epoch."""

from __future__ import annotations

import sys
from pathlib import Path

from normbench.launchers.base import LaunchRequest
from normbench.launchers.slurm import SlurmLauncher
from normbench.store import RunStore

if __name__ == "__main__":
    store = RunStore.open(Path(sys.argv[1]))
    request = LaunchRequest(
        store=store.root,
        fingerprints=tuple(sorted(run.fingerprint for run in store.runs())),
        data_folder=store.root,
        checkpoint_seconds=0.0,
        options=dict(word.split("=", 1) for word in sys.argv[2:]),
    )
    SlurmLauncher()(request, lambda: None)
