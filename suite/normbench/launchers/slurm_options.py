"""The words that the ``slurm`` launcher takes: a few of its own, and those of sbatch."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from normbench.errors import UsageError, unknown_name
from normbench.quantities import counted

_JOBS = 1
_SHORT_MINUTES = 5
_EARLY_SECONDS = 30
_log = logging.getLogger(__name__)
_TIME = "60"
_REQUEUES = 100
_SIGNAL_SECONDS = 90
_OWN = ("jobs", "time", "requeues", "setup", "detach")
# Options of sbatch that change where and under whose account a job runs. Those that would change
# what it runs (array, wrap, output, signal, ntasks and the like) are the launcher's.
_SBATCH = (
    "account",
    "begin",
    "comment",
    "constraint",
    "cpus_per_gpu",
    "cpus_per_task",
    "deadline",
    "dependency",
    "exclude",
    "exclusive",
    "export",
    "gpus_per_node",
    "gres",
    "job_name",
    "licenses",
    "mail_type",
    "mail_user",
    "mem",
    "mem_per_cpu",
    "mem_per_gpu",
    "nice",
    "nodelist",
    "oversubscribe",
    "partition",
    "priority",
    "qos",
    "reservation",
    "tmp",
    "wckey",
)
_YES, _NO = ("", "true", "yes", "1"), ("false", "no", "0")
_TIMES = (
    re.compile(r"(?P<minutes>\d+)(:(?P<seconds>\d{1,2}))?"),
    re.compile(r"(?P<hours>\d+):(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2})"),
    re.compile(r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d{1,2})(:(?P<seconds>\d{1,2}))?)?"),
)
_UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What a user asked of SLURM.

    Attributes:
        jobs: Jobs in the array; each takes one node and trains runs until none is left.
        minutes: Time limit of one job.
        requeues: How often a job that ran out of time goes on in a new one.
        setup: Shell commands for the node, run before the job.
        detach: Whether the driver ends once the jobs are submitted.
        sbatch: Options of sbatch by name; True for a flag.
    """

    jobs: int
    minutes: int
    requeues: int
    setup: tuple[str, ...]
    detach: bool
    sbatch: Mapping[str, str | bool]

    @property
    def signal_seconds(self) -> int:
        """How long before its time limit a job is told to stop its workers."""
        return min(_SIGNAL_SECONDS, self.minutes * 60 // 5)


def read_options(words: Mapping[str, str]) -> SlurmOptions:
    """Return the options that *words* stand for; names may be written with ``-`` or ``_``.

    Jobs so short that little of them is left for training are warned of.

    Raises:
        UsageError: If a name is unknown, or a value does not fit.
    """
    given = {name.replace("-", "_"): value.strip() for name, value in words.items()}
    for name in given:
        if name not in (*_OWN, *_SBATCH):
            raise unknown_name("option of launcher slurm", name, (*_OWN, *_SBATCH))
    options = SlurmOptions(
        jobs=_number(given, "jobs", _JOBS, least=1),
        minutes=-(-seconds_of(given.get("time", _TIME)) // 60),
        requeues=_number(given, "requeues", _REQUEUES, least=0),
        setup=(given["setup"],) if given.get("setup") else (),
        detach=_flag(given, "detach"),
        sbatch={
            name: _sbatch_value(name, given)
            for name in sorted(given)
            if name in _SBATCH and _is_given(name, given)
        },
    )
    if options.minutes < _SHORT_MINUTES:
        _warn_of_short_jobs(options.minutes, options.signal_seconds)
    return options


@cache
def _warn_of_short_jobs(minutes: int, seconds: int) -> None:
    """Warn, once in a process, though options are read several times on the way to a job."""
    _log.warning(
        "--launcher-option time: of a job of %s, its first seconds start workers and SLURM stops "
        "them %d to %d s before its end; that leaves little for training. Give %d minutes or more.",
        counted(minutes, "minute"),
        seconds,
        seconds + _EARLY_SECONDS,
        _SHORT_MINUTES,
    )


def seconds_of(text: str) -> int:
    """Return the seconds of a time as sbatch writes it.

    Raises:
        UsageError: If *text* is in no such form, or no time at all.
    """
    for form in _TIMES:
        if found := form.fullmatch(text):
            parts = found.groupdict(default="0")
            seconds = sum(int(value) * _UNITS[unit] for unit, value in parts.items())
            if seconds:
                return seconds
    raise UsageError(
        f"--launcher-option time={text}: expected MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "
        "DAYS-HOURS or DAYS-HOURS:MINUTES:SECONDS, more than zero, such as time=120 or time=1-00."
    )


def _number(given: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"--launcher-option {name}={text}: expected a whole number from {least}.")
    return int(text)


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false").lower()
    if text not in (*_YES, *_NO):
        raise UsageError(f"--launcher-option {name}={text}: expected true or false.")
    return text in _YES


def _is_given(name: str, given: Mapping[str, str]) -> bool:
    return name not in _FLAGS or given[name].lower() not in _NO


def _sbatch_value(name: str, given: Mapping[str, str]) -> str | bool:
    value = given[name]
    if name in _FLAGS and value.lower() in _YES:
        return True
    if not value or "\n" in value:
        raise UsageError(f"--launcher-option {name}={value}: expected sbatch's value for it.")
    return value


_FLAGS = ("exclusive", "oversubscribe")
