"""The words of ``normbench worker`` and ``python -m normbench.worker``: one parser for both.

Without ``--drain`` this process trains; with it, a whole local launcher does. Neither needs more
than torch, numpy and pluggy, and the launcher not even torch.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from normbench.errors import NormbenchError, UsageError
from normbench.garbage import uncollected
from normbench.launchers.devices import parse_pack, parse_slots
from normbench.launchers.signals import interrupted_by_first_sigterm
from normbench.quantities import parse_bytes, parse_seconds
from normbench.rungs import AUTO, ENGINES

FAILED = 1
UNABLE = 3
OUT_OF_TIME = 4
UNCLEAN = 5
INTERRUPTED = 130
_T = TypeVar("_T")
_log = logging.getLogger("normbench.worker")
_HELP = """\
Train pending runs of a store, until none is left that could be taken.

Any number of workers, on any number of machines, may share a store: each claims a run before it
trains it, and takes over those of workers that died. So this is what to start under any scheduler.

  normbench worker --drain --store DIR                 every core or GPU of this machine
  normbench worker --drain --store DIR --wall-time 4h  stop claiming runs that would not end in time
  normbench worker --store DIR RUN                     one run, in this process

RUN is the beginning of a run's or a row's fingerprint; without any, all runs are taken that are
pending or were interrupted. Runs that ended badly (failed, out_of_memory, timed_out, killed) are
taken only by name, cancelled ones not at all.

Ctrl-C and SIGTERM stop every run at its last checkpoint; a second Ctrl-C kills at once.
Exit code: 0; 1 if a run ended badly; 3 if no worker can go on; 130 if it was stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker from the command line and return its exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with interrupted_by_first_sigterm():
            return _work(options)
    except UsageError as error:
        _log.error("%s", error)
        return 2
    except NormbenchError as error:
        _log.error("%s", error)
        return UNABLE
    except KeyboardInterrupt:
        return INTERRUPTED


def _work(options: argparse.Namespace) -> int:
    if options.drain:
        from normbench.launchers.drain import drain

        return drain(options)
    with uncollected():
        from normbench.worker.loop import work

    return work(options)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's words."""
    parsed = argparse.ArgumentParser(
        prog="normbench worker",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsed.add_argument(
        "runs", nargs="*", metavar="RUN", help="runs to train; all that are pending"
    )
    parsed.add_argument("--drain", action="store_true", help="use the whole machine")
    _add_places(parsed)
    _add_limits(parsed)
    _add_rest(parsed)
    _add_internal(parsed)
    return parsed


def _add_places(parsed: argparse.ArgumentParser) -> None:
    add = parsed.add_argument
    add("--store", type=Path, metavar="DIR", help="run store; default $NORMBENCH_STORE")
    add(
        "--runs",
        dest="runs_file",
        type=Path,
        metavar="FILE",
        help="take the runs in FILE, in order",
    )
    add(
        "--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N; default auto"
    )
    add(
        "--slots",
        type=_checked(parse_slots),
        metavar="N|auto",
        help="with --drain: runs trained at once on the processor (default: one a core) or on each "
        "GPU (one; auto: as many as its memory allows)",
    )
    add(
        "--pack",
        type=_checked(parse_pack),
        default="auto",
        metavar="N|auto|off",
        help="runs of one kind trained at once by a process on a GPU, as branches of one CUDA "
        "graph (default auto: as many as its memory allows)",
    )
    add(
        "--engine",
        default=AUTO,
        choices=ENGINES,
        help="how steps are carried out; default auto, the fastest that holds",
    )
    add("--data-dir", type=Path, metavar="DIR", help="data folder; default $NORMBENCH_DATA")
    add("--plugin", type=Path, action="append", default=[], metavar="FILE", help="plugin file")


def _add_limits(parsed: argparse.ArgumentParser) -> None:
    add, seconds = parsed.add_argument, _checked(parse_seconds)
    add(
        "--wall-time",
        type=seconds,
        metavar="TIME",
        help="when this machine goes away, from now: seconds, or 4h, 1-12:00:00",
    )
    add("--time-limit", type=seconds, metavar="TIME", help="of one run; then it is timed_out")
    add(
        "--memory-limit",
        type=_checked(parse_bytes),
        metavar="SIZE",
        help="of one worker, such as 4G; then its run is out_of_memory",
    )


def _add_rest(parsed: argparse.ArgumentParser) -> None:
    add = parsed.add_argument
    add("--keep-weights", action="store_true", help="keep the final weights of each run")
    add("--checkpoint-seconds", type=float, metavar="S", help="least time between checkpoints")
    add("--lease-seconds", type=float, metavar="S", help="a silent worker's run is free after S")
    add("--log-level", default="INFO", metavar="LEVEL", help="default INFO")
    add("-v", "--verbose", dest="log_level", action="store_const", const="DEBUG", help="say more")


def _add_internal(parsed: argparse.ArgumentParser) -> None:
    """Add what only a launcher says to its workers."""
    add = parsed.add_argument
    add("--since", type=float, help=argparse.SUPPRESS)
    add("--until", type=float, help=argparse.SUPPRESS)
    add("--started", type=float, help=argparse.SUPPRESS)
    add("--parent", type=int, help=argparse.SUPPRESS)
    add("--report", type=Path, help=argparse.SUPPRESS)
    add("--peers", type=int, default=1, help=argparse.SUPPRESS)
    add("--shared", action="store_true", help=argparse.SUPPRESS)
    add("--gpu-book", type=Path, help=argparse.SUPPRESS)
    add("--gpu", help=argparse.SUPPRESS)
    add("--sized", action="store_true", help=argparse.SUPPRESS)


def _checked(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Let argparse show the message of a :class:`UsageError`."""

    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
