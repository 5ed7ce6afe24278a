"""What NVIDIA's management library says of a GPU: driver, clocks, temperature, energy."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Self

import torch

_LIBRARY = "libnvidia-ml.so.1"
_SM_CLOCK, _MEMORY_CLOCK = 1, 2
_CORE_TEMPERATURE = 0
_OK = 0


class Meter:
    """A GPU, read through the C interface of the library that comes with its driver.

    Args:
        library: The library, loaded.
        uuid: Of the GPU, with its ``GPU-`` in front.

    Raises:
        OSError: If the library does not answer for it.
    """

    def __init__(self, library: Any, uuid: str) -> None:
        self._library, self._handle = library, ctypes.c_void_p()
        self._call("nvmlInit_v2")
        self._call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self._handle))

    @classmethod
    def of(cls, device: torch.device) -> Self | None:
        """Return the meter of *device*; None for a processor, and where no library answers."""
        if device.type != "cuda":
            return None
        try:
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            return cls(ctypes.CDLL(_LIBRARY), uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        except (OSError, AttributeError):
            return None

    def joules(self) -> float | None:
        """Return the energy used since the driver was loaded; None where that is not counted."""
        found = self._number(ctypes.c_ulonglong, "nvmlDeviceGetTotalEnergyConsumption")
        return None if found is None else found / 1000

    def driver(self) -> str:
        """Return the version of the driver; empty if it is not told."""
        text = ctypes.create_string_buffer(80)
        try:
            self._call("nvmlSystemGetDriverVersion", text, ctypes.c_uint(len(text)))
        except OSError:
            return ""
        return text.value.decode()

    def state(self) -> Mapping[str, float | None]:
        """Return clocks in MHz, power in watts and temperature in degrees Celsius as of now."""
        number, clock = ctypes.c_uint, "nvmlDeviceGetClockInfo"
        power = self._number(number, "nvmlDeviceGetPowerUsage")
        return {
            "sm_mhz": self._number(number, clock, ctypes.c_uint(_SM_CLOCK)),
            "memory_mhz": self._number(number, clock, ctypes.c_uint(_MEMORY_CLOCK)),
            "watts": None if power is None else power / 1000,
            "celsius": self._number(
                number, "nvmlDeviceGetTemperature", ctypes.c_uint(_CORE_TEMPERATURE)
            ),
        }

    def _number(self, kind: Any, function: str, *words: Any) -> int | None:
        found = kind()
        try:
            self._call(function, self._handle, *words, ctypes.byref(found))
        except (OSError, AttributeError):  # An old library lacks some of them.
            return None
        return int(found.value)

    def _call(self, function: str, *words: Any) -> None:
        code = getattr(self._library, function)(*words)
        if code != _OK:
            raise OSError(f"{function} answered {code}")


class EnergyUse:
    """The energy of one run, over all attempts whose checkpoints it goes on from.

    It is that of the whole GPU from here on, so that it is the run's only where no other process
    computes there. Up to a checkpoint it is near: the host, which reads it when an epoch has been
    issued, may be ahead of the GPU.

    Args:
        meter: Of the GPU; None where there is none.
        share: Runs of the pack that this one began in; an equal part of the energy is its own, also
            when others have left.

    Attributes:
        earlier: Joules up to the checkpoint that the run goes on from; None if unknown.
    """

    def __init__(self, meter: Meter | None = None, share: int = 1) -> None:
        self._meter, self._share = meter, share
        self.earlier: float | None = 0.0
        self._start = meter.joules() if meter else None

    def joules(self) -> float | None:
        """Return what the run has used so far; None if a part of it is unknown."""
        now = self._meter.joules() if self._meter else None
        if now is None or self._start is None or self.earlier is None:
            return None
        return self.earlier + (now - self._start) / self._share
