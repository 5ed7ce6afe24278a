"""SLURM's commands: which jobs there are, what became of them, and their end.

Every answer comes from a command of the scheduler with a time limit, so that a controller that does
not answer is a message and not a hang. squeue forgets jobs once they end; sacct remembers them
where the cluster keeps accounts.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normbench.errors import NormbenchError, UsageError

COMMAND_SECONDS = 30.0
_GONE = "Invalid job id"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job, or one of an array, that SLURM has in its queue.

    Attributes:
        id: ``4711`` or ``4711_3``.
        state: SLURM's word, such as ``RUNNING``.
        reason: Why it waits, such as ``Resources``; ``None`` in words while it does not.
    """

    id: str
    state: str
    reason: str


def check_slurm() -> None:
    """Check that jobs can be submitted from here.

    Raises:
        UsageError: If this machine has no SLURM commands, or the controller does not answer.
    """
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UsageError(
            "--launcher slurm: there is no sbatch on PATH. Submit from a login node of the "
            "cluster, or train here with --launcher local."
        )
    try:
        _ask("sinfo", "--noheader", "--format=%P")
    except NormbenchError as error:
        raise UsageError(
            f"--launcher slurm: the cluster does not answer ({error}). Try again once sinfo does, "
            "or train here with --launcher local."
        ) from None


def queued(jobs: Iterable[str]) -> list[Job] | None:
    """Return those of *jobs* that wait or run; None if the controller does not say.

    Args:
        jobs: Ids; that of an array stands for all its jobs.
    """
    names = ",".join(jobs)
    try:
        text = _ask("squeue", "--noheader", "--array", f"--jobs={names}", "--format=%i|%T|%r")
    except NormbenchError as error:
        if _GONE in str(error):
            return []
        _log.warning("squeue: %s; looking again", error)
        return None
    return [Job(*line.split("|", 2)) for line in text.splitlines() if line.count("|") >= 2]


def seconds_left(job: str) -> float | None:
    """Return the seconds until *job* reaches its time limit; None if that is not known.

    Args:
        job: Its own number, not that of its array.
    """
    try:
        text = _ask("squeue", "--noheader", f"--jobs={job}", "--format=%L").strip()
    except NormbenchError as error:
        _log.warning("squeue: %s; the time limit of this job is unknown", error)
        return None
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in (days or "0", *parts)):
        return None
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return float(int(days or 0) * 86400 + seconds)


def ended_as(jobs: Iterable[str]) -> dict[str, str]:
    """Return what sacct says that became of *jobs*; empty where the cluster keeps no accounts."""
    if shutil.which("sacct") is None:
        return {}
    names = ",".join(jobs)
    form = "--format=JobID,State"
    try:
        text = _ask("sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={names}", form)
    except NormbenchError as error:
        _log.info("sacct: %s", error)
        return {}
    pairs = [line.split("|") for line in text.splitlines() if line.count("|") == 1]
    return {job: state for job, state in pairs if "[" not in job}


def cancel_waiting(job: str) -> None:
    """Take those jobs of an array out of the queue that have not begun."""
    try:
        _ask("scancel", "--state=PENDING", job)
    except NormbenchError as error:
        _log.info("scancel: %s", error)


def cancel_jobs(jobs: Sequence[str]) -> None:
    """Tell SLURM to end *jobs*; those that ended are passed over.

    Raises:
        NormbenchError: If the controller does not answer, or refuses.
    """
    try:
        _ask("scancel", *jobs)
    except NormbenchError as error:
        if _GONE not in str(error):
            raise NormbenchError(
                f"jobs {', '.join(jobs)} could not be cancelled: {error} Try: scancel "
                f"{' '.join(jobs)}"
            ) from None


def _ask(*command: str) -> str:
    """Return what a command prints.

    Raises:
        NormbenchError: If it is not there, fails, or does not answer in time.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NormbenchError(f"{command[0]} gave no answer in {COMMAND_SECONDS:g} s.") from None
    except OSError as error:
        raise NormbenchError(f"{command[0]} cannot be started: {error.strerror}.") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NormbenchError(f"{said[-1]}.")
    return done.stdout
