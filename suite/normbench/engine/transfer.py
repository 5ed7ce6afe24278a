"""Numbers and times that come from the device without anybody waiting for it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class Transfer:
    """Copies of tensors as they are now, on their way to the host.

    Nothing waits for the device before they are read. On a processor they are there at once.

    Args:
        tensors: All on one device; they may change as soon as this is made.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self._copies = [to_host(tensor) for tensor in tensors]
        on_cuda = any(tensor.device.type == "cuda" for tensor in tensors)
        self._arrival = mark(tensors[0].device) if on_cuda else None

    def read(self) -> list[Tensor]:
        """Return the copies; waits for the device if they have not arrived."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._copies


class StatesTransfer:
    """A copy of states as they are now, on its way to the host.

    Args:
        states: Tensors within mappings, lists and tuples.
    """

    def __init__(self, states: Mapping[str, Any]) -> None:
        events: dict[torch.device, torch.cuda.Event] = {}

        def copied(tensor: Tensor) -> Tensor:
            host = to_host(tensor)
            if tensor.device.type == "cuda":
                events[tensor.device] = mark(tensor.device)
            return host

        self._copies = mapped(states, copied)
        self._arrivals = list(events.values())

    def read(self) -> dict[str, Any]:
        """Return the copy; waits for the device if it has not arrived."""
        for arrival in self._arrivals:
            arrival.synchronize()
        copies: dict[str, Any] = self._copies
        return copies


class Span:
    """The time from when it is made to its end, as the device passes these two moments.

    Args:
        device: On a processor they are moments of the host.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self._end = self._now()

    def end(self) -> None:
        """Let it end here."""
        self._end = self._now()

    @property
    def seconds(self) -> float:
        """How long it took; waits for the device if its end has not come."""
        if self._device.type != "cuda":
            return float(self._end - self._start)
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) / 1000

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        return mark(self._device, timed=True)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return *value* in containers of its own, with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        # A module's states carry its versions along.
        same = copy.copy(value)
        same.update((key, mapped(inner, change)) for key, inner in value.items())
        return same
    if isinstance(value, list | tuple):
        return type(value)(mapped(inner, change) for inner in value)
    return value


def mark(device: torch.device, *, timed: bool = False) -> torch.cuda.Event:
    """Return an event behind all that *device* has been told so far."""
    event = torch.cuda.Event(enable_timing=timed)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def to_host(tensor: Tensor) -> Tensor:
    """Return a copy of *tensor* on the host; of one on CUDA it arrives when the device is there."""
    tensor = tensor.detach()
    if tensor.device.type != "cuda":
        return tensor.clone()
    pinned = torch.empty_like(tensor, device="cpu", pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


def send(tensor: Tensor, target: Tensor) -> None:
    """Copy *tensor*, on the host, into *target*, which on CUDA happens when the device is there."""
    if target.device.type == "cuda":
        # From other memory than pinned the host would wait for the device.
        tensor = tensor.to(target.dtype).pin_memory()
    target.copy_(tensor, non_blocking=True)
