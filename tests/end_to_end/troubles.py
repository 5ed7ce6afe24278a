"""A one-off plugin: an optimizer that gets its worker into trouble, as its ``mode`` says.

``lr`` is its only number; 0.001 with mode ``none`` is plain gradient descent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

import normbench

MODES = ("none", "kill", "exit", "raise", "hang", "spawn", "allocate", "child", "slow")
SLEEP = "import time; time.sleep(600)"
GROW = """
import time
held = bytearray(1200 * 2**20)
held[::4096] = b"x" * (1200 * 256)
time.sleep(600)
"""


class Trouble(torch.optim.SGD):
    """Gradient descent with a fault."""

    def __init__(self, groups: list[dict], *, lr: float, mode: str) -> None:
        super().__init__(groups, lr=lr)
        self._fault = getattr(self, f"_{mode}")
        self._held: list[torch.Tensor] = []

    def step(self, closure: object = None) -> None:
        """Take a step, or get into trouble."""
        self._fault()
        super().step(closure)

    def _none(self) -> None:
        pass

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _exit(self) -> None:
        os._exit(7)

    def _raise(self) -> None:
        raise ValueError("trouble in the plugin\nwith a second line")

    def _hang(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if deaf := os.environ.get("DEAF_FILE"):
            Path(deaf).touch()
        while True:
            time.sleep(600)

    def _spawn(self) -> None:
        """Start a process in a session of its own that nobody is the parent of, and hang."""
        script = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], "
        script += "stdout=-3, stderr=-3, start_new_session=True); print(p.pid)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        Path(os.environ["TROUBLE_FILE"]).write_bytes(done.stdout)
        self._hang()

    def _allocate(self) -> None:
        """Hold on to more and more memory, all of it written to."""
        for _ in range(100):
            self._held.append(torch.ones(16 * 2**20))

    def _child(self) -> None:
        """Let a child hold memory."""
        subprocess.run([sys.executable, "-c", GROW], check=True)

    def _slow(self) -> None:
        time.sleep(0.2)


def trouble(groups: list[dict], *, lr: float, mode: str) -> torch.optim.Optimizer:
    """Build the optimizer."""
    return Trouble(groups, lr=lr, mode=mode)


@normbench.hookimpl
def normbench_optimizers() -> list[normbench.Optimizer]:
    """Offer it."""
    lr = normbench.Parameter(name="lr", kind="float", default=0.001, summary="learning rate", low=0)
    mode = normbench.Parameter(
        name="mode", kind="str", default="none", summary="fault", choices=MODES
    )
    return [
        normbench.Optimizer(
            name="trouble", summary="gets into trouble", factory=trouble, parameters=(lr, mode)
        )
    ]
