"""The rungs of the engine's ladder by name, and which of them a user may ask for. No torch."""

from __future__ import annotations

from enum import StrEnum

from normbench.errors import UsageError


class Rung(StrEnum):
    """How steps are carried out, as results record it."""

    EAGER = "eager"
    GRADIENT_GRAPH = "gradient_graph"
    GRAPH = "graph"
    COMPILE = "compile"


AUTO = "auto"
ENGINES = (AUTO, Rung.EAGER.value, Rung.GRAPH.value, Rung.COMPILE.value)


def check_engine(engine: str, device: str) -> None:
    """Refuse an engine that there is none of, or that *device* cannot have.

    Args:
        engine: What was asked for.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: With the fix.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: expected {', '.join(ENGINES)}.")
    if engine == Rung.GRAPH and device == "cpu":
        raise UsageError(
            "--engine graph: a CUDA graph needs an NVIDIA GPU and a torch built with CUDA, but "
            "this run is to train on the processor. Give --device cuda on a machine with a GPU, or "
            "--engine auto."
        )
