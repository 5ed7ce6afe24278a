"""Submitting the jobs of a launch to SLURM, by submitit."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from normbench.errors import UsageError, install_extra
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.slurm_node import NodeAgent
from normbench.launchers.slurm_options import SlurmOptions
from normbench.launchers.words import worker_words

if TYPE_CHECKING:
    from submitit import SlurmExecutor

_DRAIN = (sys.executable, "-m", "normbench.worker", "--drain")


def submit(request: LaunchRequest, launch: LaunchFolder, options: SlurmOptions) -> str:
    """Submit the jobs of *launch* as one array and return its number.

    Raises:
        UsageError: If sbatch refuses them.
    """
    errors = (RuntimeError, OSError)
    with _of_no_job(), contextlib.redirect_stderr(io.StringIO()):
        try:
            executor = _executor(launch.logs, options)
            agent = _agent(request, launch, options)
            with executor.batch():
                jobs = [executor.submit(agent) for _ in range(options.jobs)]
        except errors as error:
            said = " ".join(str(error).split()).removeprefix("sbatch: error: ")
            raise UsageError(
                f"--launcher slurm: sbatch refused the jobs: {said}. Mend the --launcher-option "
                "values; sinfo shows partitions, time limits and nodes."
            ) from None
    return jobs[0].job_id.partition("_")[0]


def load_submitit() -> ModuleType:
    """Return the package.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise UsageError(
            f"--launcher slurm needs submitit. Install it: {install_extra('slurm')}"
        ) from None
    return submitit


def _executor(logs: Path, options: SlurmOptions) -> SlurmExecutor:
    executor: SlurmExecutor = load_submitit().SlurmExecutor(
        folder=logs, max_num_timeout=options.requeues
    )
    executor.update_parameters(
        job_name="normbench",
        time=options.minutes,
        signal_delay_s=options.signal_seconds,
        array_parallelism=options.jobs,
        setup=list(options.setup) or None,
        stderr_to_stdout=True,
        wckey=None,
        # Bound to the core of its one task, a job's workers would all share that core.
        srun_args=["--cpu-bind=none"],
        additional_parameters=dict(options.sbatch),
    )
    return executor


def _agent(request: LaunchRequest, launch: LaunchFolder, options: SlurmOptions) -> NodeAgent:
    return NodeAgent(
        store=str(request.store),
        launch=str(launch.path),
        command=(*_DRAIN, *worker_words(request, launch)),
        device=request.device,
        slots=None if request.slots is None else str(request.slots),
        signal_seconds=options.signal_seconds,
    )


@contextlib.contextmanager
def _of_no_job() -> Iterator[None]:
    """Forget the SLURM job that this process is in, if any; its variables would bind the new one.

    What a user or a site sets for all commands (``SBATCH_*``, ``SLURM_CONF``) stays.
    """
    inside = "SLURM_JOB_ID" in os.environ
    names = [
        name
        for name in os.environ
        if name.startswith("SUBMITIT_")
        or (inside and name.startswith(("SLURM_", "SLURMD_", "SRUN_")) and name != "SLURM_CONF")
    ]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)
