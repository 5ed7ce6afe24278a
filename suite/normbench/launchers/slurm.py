"""The ``slurm`` launcher: jobs of a SLURM cluster that train the runs of a store.

submitit (extra ``slurm``) submits one array of jobs and queues them again when their time is up or
somebody else takes their node; nothing else is asked of it. Each job takes one node and drains the
list of runs there (:mod:`normbench.launchers.slurm_node`), so a few long jobs train thousands of
short runs. The driver only watches: it may be interrupted or die, and the jobs go on.

How far the runs are stands in the store, and whether jobs are left in ``squeue``. Results of jobs
are never waited for: where the cluster keeps no accounts, that would wait for ever.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from normbench.errors import UsageError
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.slurm_options import SlurmOptions, read_options
from normbench.launchers.slurm_queue import cancel_jobs, check_slurm
from normbench.launchers.slurm_submit import load_submitit, submit
from normbench.launchers.slurm_watch import watch_jobs


class SlurmLauncher:
    """Submits jobs, says which, and watches them for as long as it lives."""

    def check(self, options: Mapping[str, str]) -> None:
        """Check that jobs with these *options* can be submitted from here.

        Raises:
            UsageError: If an option does not fit, submitit is missing, or the cluster is.
        """
        read_options(options)
        load_submitit()
        check_slurm()

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> str | None:
        """Train the runs of *request*; see :class:`normbench.launchers.base.Launch`."""
        self.check(request.options)
        options = read_options(request.options)
        request = _absolute(request)
        jobs = min(options.jobs, len(request.fingerprints)) if not request.drain else options.jobs
        options = replace(options, jobs=jobs)
        launch = LaunchFolder.create("slurm", request)
        try:
            number = submit(request, launch, options)
        except UsageError:
            launch.note(ended=time.time())
            raise
        launch.note(jobs=[number])
        _say(_submitted(number, options, launch))
        if options.detach:
            return _how_to_go_on(request, launch)
        try:
            watch_jobs(request, launch, number, tick)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"The jobs go on. {_how_to_go_on(request, launch)}") from None
        return None

    def detaches(self, options: Mapping[str, str]) -> bool:
        """Whether a call with these *options* returns once the jobs are submitted."""
        return read_options(options).detach

    def cancel(self, launch: LaunchFolder) -> None:
        """End the jobs of *launch*; its runs stay at their last checkpoints.

        Raises:
            NormbenchError: If the cluster does not answer, or refuses.
        """
        jobs = launch.info().get("jobs") or []
        if jobs:
            cancel_jobs(jobs)
        launch.note(ended=time.time())


def _absolute(request: LaunchRequest) -> LaunchRequest:
    """Return *request* with paths that hold wherever a job starts."""
    store = request.store.absolute()
    if "%" in str(store):
        raise UsageError(
            f"--store {store}: SLURM reads '%' in the path of a log as a placeholder. Choose a "
            "path without it."
        )
    files = tuple(file.absolute() for file in request.plugin_files)
    folder = request.data_folder.absolute()
    return replace(request, store=store, data_folder=folder, plugin_files=files)


def _submitted(number: str, options: SlurmOptions, launch: LaunchFolder) -> str:
    jobs = f"{number}_[0-{options.jobs - 1}]" if options.jobs > 1 else number
    return f"submitted job {jobs} of launch {launch.id}; logs: {launch.logs}"


def _how_to_go_on(request: LaunchRequest, launch: LaunchFolder) -> str:
    store = shlex.quote(str(request.store))
    return (
        f"Watch them: normbench status --watch 5 --store {store}\n"
        f"End them: normbench cancel --launch {launch.id} --store {store}"
    )


def _say(text: str) -> None:
    """Tell the user, however quiet the log is: jobs that run must not run unseen."""
    sys.stderr.write(f"{text}\n")
