"""``python -m normbench.worker``."""

from __future__ import annotations

import atexit
import os
import sys

from normbench.worker.command import main


def _leave(code: int) -> None:
    """End the process without taking torch's modules apart, which can take seconds."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    # One thread a run, also in libraries that read this only when they load.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _leave(main())
