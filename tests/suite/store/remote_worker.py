"""A worker process for the tests: holds a run and does what it reads from its input.

remote_worker.py STORE FINGERPRINT [LEASE_SECONDS]
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from normbench.errors import LeaseLostError, RunCancelledError, StoreError
from normbench.store import Attempt, RunState, RunStore


def obey(attempt: Attempt, word: str, *values: object) -> str:
    """Do what *word* says and return the answer."""
    actions = {
        "append": lambda epoch: attempt.append({"epoch": epoch}),
        "checkpoint": lambda epoch, size: attempt.save_checkpoint(
            lambda path: _fill(path, epoch, size), epoch=epoch
        ),
        "publish": lambda: attempt.publish({"outcome": "finished", "score": 0.5}),
        "close": lambda outcome: attempt.close(RunState(outcome), "as told", "Traceback"),
        "check": attempt.check,
        "limit": lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        "leave": lambda: sys.exit(0),
    }
    try:
        done = actions[word](*values)
    except LeaseLostError:
        return "lost"
    except (RunCancelledError, StoreError) as error:
        return f"error: {error}"
    return f"done: {done}"


def _fill(path: Path, epoch: int, size: int) -> None:
    path.write_bytes(bytes([epoch]) * size)


def main(root: str, fingerprint: str, lease_seconds: str = "60") -> None:
    """Claim the run, say the attempt's number, then obey line by line."""
    attempt = (
        RunStore.open(Path(root)).get(fingerprint).claim({}, lease_seconds=float(lease_seconds))
    )
    with attempt:
        answer(str(attempt.number))
        for line in sys.stdin:
            answer(obey(attempt, *json.loads(line)))


def answer(text: str) -> None:
    """Say one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
