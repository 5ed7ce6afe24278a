"""Recording operations on a device so that they can be run again without Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch

Work = Callable[[], None]


class Recorder(Protocol):
    """Records work, and runs it again on the same tensors."""

    def beside(self) -> AbstractContextManager[None]:
        """Return a context in which work warms up as a recording needs it."""
        ...

    def capture(self, work: Work) -> Work:
        """Record what *work* does and return what does it again.

        Whether *work* takes effect meanwhile is open; the caller undoes it.

        Raises:
            Exception: If it cannot be recorded, as when it reads from the device.
        """
        ...

    def wait(self) -> None:
        """Let the device finish."""
        ...


class CudaRecorder:
    """Records CUDA graphs on a stream of its own.

    Args:
        device: Where the tensors are.
        generators: What random numbers are drawn from, beside torch's global generator.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._device, self._generators = device, generators
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def beside(self) -> Iterator[None]:
        """See :class:`Recorder`."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    def capture(self, work: Work) -> Work:
        """See :class:`Recorder`."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # The threads that keep the lease and pin batches must not break the capture.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    def wait(self) -> None:
        """See :class:`Recorder`."""
        torch.cuda.synchronize(self._device)


class PlainRecorder:
    """Records nothing: work is done again by Python."""

    def beside(self) -> AbstractContextManager[None]:
        """See :class:`Recorder`."""
        return nullcontext()

    def capture(self, work: Work) -> Work:
        """See :class:`Recorder`."""
        return work

    def wait(self) -> None:
        """See :class:`Recorder`."""
