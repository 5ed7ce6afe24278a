"""Why a worker process ended, and what follows from it for its run and its launcher."""

from __future__ import annotations

import logging
import re
import signal

from normbench.errors import NormbenchError, UsageError
from normbench.launchers.kernel import oom_kills
from normbench.launchers.pool import WorkerProcess
from normbench.launchers.tally import Tally
from normbench.store import RunState
from normbench.store.strikes import close_for, note_death
from normbench.worker.command import INTERRUPTED, OUT_OF_TIME, UNABLE, UNCLEAN

_USAGE = 2
_FEW = 10
_LOGGED = re.compile(r"^\S+ \S+ [A-Z]+ ", re.MULTILINE)
_OOM = "the kernel killed its worker when the machine ran out of memory"
_log = logging.getLogger(__name__)


class Deaths:
    """Judges the workers of one launcher that ended.

    Args:
        tally: Counts runs whose outcome is found here.

    Attributes:
        closed: Whether no more workers are to be started.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._in_vain = 0
        self._oom_kills = oom_kills()
        self.closed = False

    def saw_work(self) -> None:
        """Take note that a worker took a run: workers are not started in vain."""
        self._in_vain = 0

    def judge(self, worker: WorkerProcess, code: int) -> None:
        """Judge a worker that ended with exit *code*, or by the signal ``-code``.

        Raises:
            UsageError: If it refuses its words, as any other would.
            NormbenchError: If no worker can go on.
        """
        if code == OUT_OF_TIME:
            self.closed = True
        elif code in (UNABLE, _USAGE):
            sort = UsageError if code == _USAGE else NormbenchError
            raise sort(f"a worker cannot go on: {_complaint(worker)}")
        elif code == 0:
            self._count_vain(worker)
        elif code not in (UNCLEAN, INTERRUPTED):
            self._judge_death(worker, code)

    def _count_vain(self, worker: WorkerProcess) -> None:
        """Stop if workers again and again find nothing where the launcher sees something.

        Who found runs that wait for others on this machine was not started in vain.
        """
        self._in_vain += not (worker.took or worker.waited)
        if self._in_vain > _FEW:
            _log.warning("workers find nothing to take; start the same command again")
            self.closed = True

    def _judge_death(self, worker: WorkerProcess, code: int) -> None:
        words = f"ended with {_ended(code)}"
        if not worker.held:
            self._judge_idle_death(worker, code, words)
            return
        oom = code == -signal.SIGKILL and self._was_oom_kill()
        if len(worker.held) > 1:
            # Which of them is to blame shows when each is trained alone.
            words += f", which trained {len(worker.held)} runs; each is trained alone next"
        for held in worker.held.values():
            _log.warning("run %s: its worker %s", held.run[:8], words)
            if not oom or len(worker.held) > 1:
                note_death(held.attempt, words)
            elif close_for(held.attempt, RunState.OUT_OF_MEMORY, _OOM):
                self._tally.count(held.run, RunState.OUT_OF_MEMORY, _OOM)

    def _judge_idle_death(self, worker: WorkerProcess, code: int, words: str) -> None:
        self._in_vain += 1
        if not worker.ready and (code > 0 or self._in_vain > _FEW):
            raise NormbenchError(
                f"a worker {words} before it took a run. Its log: {worker.log}\n"
                f"{worker.last_words()}"
            )
        _log.warning("a worker %s while it held no run", words)

    def _was_oom_kill(self) -> bool:
        before, self._oom_kills = self._oom_kills, oom_kills()
        return self._oom_kills > before


def _complaint(worker: WorkerProcess) -> str:
    """Return what a worker logged last, without when and how grave it is."""
    _, *logged = _LOGGED.split(worker.last_words())
    return logged[-1] if logged else worker.last_words(1)


def _ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
