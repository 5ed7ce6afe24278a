"""The launchers that come with normbench."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.descriptions import Launcher
from normbench.hookspecs import hookimpl


@hookimpl
def normbench_launchers() -> Sequence[Launcher]:
    """Offer the launchers."""
    return (
        Launcher(
            name="local",
            summary="worker processes on this machine, one for each core or GPU",
            factory="normbench.launchers.local:LocalLauncher",
        ),
        Launcher(
            name="slurm",
            summary="an array of jobs on a SLURM cluster, each training runs on one node",
            factory="normbench.launchers.slurm:SlurmLauncher",
        ),
        Launcher(
            name="dask",
            summary="the workers of a Dask cluster, each training runs on its machine",
            factory="normbench.launchers.dask:DaskLauncher",
        ),
    )
