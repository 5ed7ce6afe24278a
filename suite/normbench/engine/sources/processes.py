"""How many processes decode image files: a choice of the machine, of no effect on any number."""

from __future__ import annotations

import os

import torch

from normbench.errors import UsageError

PROCESSES_VARIABLE = "NORMBENCH_LOADER_PROCESSES"
MOST_PROCESSES = 16


def loader_processes(device: torch.device) -> int:
    """Return how many processes decode images for a run on *device*.

    ``$NORMBENCH_LOADER_PROCESSES`` if it is set. Else none on a processor, where every core has a
    run of its own, and one for each core but one beside a GPU, up to 16.

    Raises:
        UsageError: If the variable is not a whole number.
    """
    given = os.environ.get(PROCESSES_VARIABLE)
    if given:
        if not given.isdecimal():
            raise UsageError(
                f"{PROCESSES_VARIABLE}={given}: expected a whole number, 0 or more. Set it to the "
                "number of processes that decode images, or unset it."
            )
        return int(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 0 if device.type == "cpu" else min((cores or 1) - 1, MOST_PROCESSES)
