"""Recording operations on a device so that they can be run again without Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Protocol

import torch

from normbench.engine.capturing import capture

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
            CaptureBrokenError: If it cannot be recorded, and the process is of no use any more.
            Exception: If it cannot be recorded, as when it reads from the device.
        """
        ...

    def capture_branches(
        self, works: Sequence[Work], generators: Sequence[torch.Generator]
    ) -> Work:
        """Record what all *works* do, to be done again side by side.

        As with :meth:`capture`, except that none may touch what another one does.

        Args:
            works: One for each branch.
            generators: What any of them draws from; torch's global one is not among them.

        Raises:
            Exception: If one cannot be recorded.
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
        return capture(self._device, self._stream, work, self._generators).replay

    def capture_branches(
        self, works: Sequence[Work], generators: Sequence[torch.Generator]
    ) -> Work:
        """See :class:`Recorder`."""
        streams = _branch_streams(self._device, len(works))

        def branches() -> None:
            # All leave before the first comes back: else each would wait for the one before it.
            for stream in streams:
                stream.wait_stream(self._stream)
            with _joining(self._stream, streams):
                for stream, work in zip(streams, works, strict=True):
                    with torch.cuda.stream(stream):
                        work()

        return capture(self._device, self._stream, branches, generators).replay

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

    def capture_branches(
        self,
        works: Sequence[Work],
        generators: Sequence[torch.Generator],  # noqa: ARG002 - nothing is kept of them
    ) -> Work:
        """See :class:`Recorder`."""

        def work() -> None:
            for each in works:
                each()

        return work

    def wait(self) -> None:
        """See :class:`Recorder`."""


RECORDERS: dict[str, Callable[[torch.device, Sequence[torch.Generator]], Recorder]] = {
    "cuda": CudaRecorder
}
"""What records steps, by the type of device; the others take plain ones."""


@contextmanager
def _joining(stream: torch.cuda.Stream, branches: Sequence[torch.cuda.Stream]) -> Iterator[None]:
    """Behind the block let *stream* wait for *branches*, also where it fails."""
    try:
        yield
    except BaseException:
        for branch in branches:
            # A capture that broke may refuse that too; what broke it is the reason.
            with suppress(RuntimeError):
                stream.wait_stream(branch)
        raise
    for branch in branches:
        stream.wait_stream(branch)


_STREAMS: defaultdict[torch.device, list[torch.cuda.Stream]] = defaultdict(list)


def _branch_streams(device: torch.device, count: int) -> Sequence[torch.cuda.Stream]:
    """Return the streams of so many branches, the same ones each time: torch has but 32."""
    streams = _STREAMS[device]
    while len(streams) < count:
        streams.append(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return streams[:count]
