"""Probes of runs: what they found, kept in the store by what they depend on, and how one is made.

A probe is kept in ``STORE/probes/DIGEST.json``, named by all of a run that decides how fast a step
is, by device and by the versions of torch and normbench. What failed is not kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from normbench.errors import StoreError
from normbench.forecast.hardware import device_name
from normbench.launchers.signals import check_interrupted, shielded
from normbench.specs import RunSpec
from normbench.store import RunStore
from normbench.store.files import (
    explained,
    open_folder,
    read_json,
    remove_tree,
    to_json,
    write_whole,
)

PROBES_FOLDER = "probes"
LIMIT_SECONDS = 120.0
_SCHEMA = 2
# Of no effect on how long a step takes or how much memory it needs.
_IDLE_RULES = frozenset(
    {"seeds", "first_seed", "seed_rule", "epochs", "epoch_share", "lr_batch_size", "lr_batch_rule"}
    | {"schedule", "schedule_per", "milestones", "step_factor", "final_factor", "warmup_epochs"}
    | {"warmup_factor", "weight_decay", "evaluate_every", "select", "as_published"}
)
_IDLE_TRAINING = frozenset({"epochs", "weight_decay"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a probe found.

    Attributes:
        seconds_per_step: Mean over *measured_steps* steps after the first ones.
        measured_steps: How many were timed.
        steps_per_epoch: Steps of an epoch.
        seconds_per_evaluation: All parts evaluated once, from one batch of each.
        seconds_per_refresh: What averaged weights cost before each evaluation.
        peak_memory: Bytes, of the process or of the GPU.
        checkpoint: Bytes of weights, buffers and optimizer state.
        hardware: Name of the device.
        torch: Version.
    """

    seconds_per_step: float
    measured_steps: int
    steps_per_epoch: int
    seconds_per_evaluation: float
    seconds_per_refresh: float
    peak_memory: int
    checkpoint: int
    hardware: str
    torch: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One probe: what it found, or why it found nothing.

    Attributes:
        outcome: How it ended.
        message: Why it found nothing.
        measured: What it found.
    """

    outcome: Literal["measured", "failed", "out_of_memory", "timed_out"]
    message: str = ""
    measured: Measured | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Probe:
        """Read what the probing process, or an earlier planning, wrote."""
        measured = content.get("measured")
        return cls(
            outcome=content["outcome"],
            message=content.get("message", ""),
            measured=None if measured is None else Measured(**measured),
        )


class Prober:
    """Makes probes on one device, and remembers them in the store.

    Args:
        store: Folder of the run store; it is made when there is a probe to keep.
        data_folder: Where the data files are.
        device: ``cpu`` or ``cuda:N``.
        plugins: One-off plugin files.
        limit: Seconds that one probe may take.

    Attributes:
        device: The device.
        hardware: Its name.
    """

    def __init__(
        self,
        store: Path,
        data_folder: Path,
        device: str,
        plugins: tuple[Path, ...] = (),
        limit: float = LIMIT_SECONDS,
    ) -> None:
        self._store, self._data_folder, self.device = store, data_folder, device
        self._plugins, self._limit = plugins, limit
        self.hardware = device_name(device)
        self._keeps = True

    def key(self, spec: RunSpec) -> str:
        """Return what tells the probe of *spec* on this device from others."""
        content = {
            "problem": _without_metric(spec),
            "norm": asdict(spec.norm),
            "ablation": vars(spec.ablation),
            "optimizer": [spec.optimizer.name, spec.optimizer.version],
            "rules": _kept(vars(spec.protocol.rules), _IDLE_RULES),
            "files": spec.identity.get("files", {}),
            "device": [self.device.partition(":")[0], self.hardware],
            "versions": [*_versions(), _SCHEMA],
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def known(self, spec: RunSpec) -> Probe | None:
        """Return the probe of *spec* that the store has; None if it has none that can be read."""
        try:
            content = read_json(self._path(spec))
            return None if content is None else Probe.from_dict(content)
        except (StoreError, KeyError, TypeError) as error:
            _log.debug("a probe is made again: %s", error)
            return None

    def probe(self, spec: RunSpec) -> Probe:
        """Probe *spec* in a process of its own, and keep what was measured."""
        with _own_folder() as folder:
            probe = self._run(spec, folder)
        if probe.measured is not None:
            self._keep(spec, probe)
        return probe

    def _run(self, spec: RunSpec, folder: Path) -> Probe:
        request = {
            "spec": spec.to_json(),
            "plugins": [str(file) for file in self._plugins],
            "data_folder": str(self._data_folder),
            "device": self.device.partition(":")[0],
        }
        result, log = folder / "result.json", folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "normbench.forecast.probe", str(result), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env=self._environment(),
                start_new_session=True,
            )
        try:
            process.communicate(json.dumps(request).encode(), timeout=self._limit)
        except subprocess.TimeoutExpired:
            return Probe(outcome="timed_out", message=f"the probe took over {self._limit:g} s")
        finally:
            with shielded():
                _end(process)
        check_interrupted()
        content = read_json(result)
        if content is None:
            return _died(process.returncode, log)
        return Probe.from_dict(content)

    def _environment(self) -> dict[str, str]:
        """Return the environment that a worker on this device would have."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        number = self.device.partition(":")[2]
        if number:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            environment["CUDA_VISIBLE_DEVICES"] = (
                visible.split(",")[int(number)] if visible else number
            )
        return environment

    def _path(self, spec: RunSpec) -> Path:
        return self._store / PROBES_FOLDER / f"{self.key(spec)}.json"

    def _keep(self, spec: RunSpec, probe: Probe) -> None:
        path = self._path(spec)
        if not self._keeps:
            return
        try:
            RunStore.open(self._store, create=True)
            with explained("write", path):
                path.parent.mkdir(exist_ok=True)
                with open_folder(path.parent) as folder:
                    write_whole(path.name, to_json(asdict(probe)), folder=folder)
        except StoreError as error:
            self._keeps = False
            _log.warning("probes are not kept: %s", error)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it however often the user interrupts."""
    with shielded():
        folder = Path(tempfile.mkdtemp(prefix="normbench-probe-"))
    try:
        yield folder
    finally:
        with shielded():
            remove_tree(folder)


@cache
def _versions() -> tuple[str, str]:
    """Return the versions that times depend on; looking them up takes a millisecond."""
    return version("torch"), version("normbench")


def _without_metric(spec: RunSpec) -> dict[str, Any]:
    content = asdict(dataclasses.replace(spec.problem))
    del content["metric"]
    return {**content, "training": _kept(content["training"], _IDLE_TRAINING)}


def _kept(values: Mapping[str, Any], idle: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in idle}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a probe and whatever it started, and wait for it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        _log.debug("probe %d and its group are gone", process.pid)
    process.wait()


def _died(code: int, log: Path) -> Probe:
    """Return the probe of a process that ended without a word."""
    if code == -signal.SIGKILL:
        return Probe(outcome="out_of_memory", message="its process was killed, as for its memory")
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Probe(outcome="failed", message=f"its process ended with {ended}: {''.join(lines[-1:])}")
