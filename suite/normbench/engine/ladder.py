"""The choice of the rung that trains a run, on the device at hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import torch

from normbench.descriptions import Optimizer
from normbench.engine.agreement import TOLERANCES, Agreement
from normbench.engine.compiled import CompiledTask
from normbench.engine.graph import LadderLoop
from normbench.engine.randomness import Randomness
from normbench.engine.rates import NumberRates, Rates, TensorRates
from normbench.engine.recording import RECORDERS
from normbench.engine.step import Step
from normbench.rules import Rules
from normbench.rungs import AUTO, Rung, check_engine

# Estimates, until a GPU has measured them: what compiling takes, and what it saves of a step.
COMPILE_SECONDS = 60.0
COMPILE_GAIN = 0.2
COMPILE_MARGIN = 3.0
_log = logging.getLogger("normbench.engine")


def choose_loop(
    engine: str,
    step: Step,
    randomness: Randomness,
    description: Optimizer,
    rules: Rules,
    device: torch.device,
    *,
    steps: int,
) -> LadderLoop:
    """Return the loop that trains a run.

    Args:
        engine: A rung, or ``auto`` for the highest captured one that holds on *device*. In
            a protocol that is not deterministic ``auto`` also compiles on CUDA if that pays, as
            :func:`compiling_pays` tells from the time of replayed steps.
        step: What is done on each batch.
        randomness: Streams of the layers.
        description: Says what the optimizer allows.
        rules: The protocol's.
        device: Where it trains.
        steps: Steps in the whole run.

    Raises:
        UsageError: If *device* cannot have *engine*.
    """
    check_engine(engine, device.type)
    on_cuda, captures = device.type == "cuda", device.type in RECORDERS
    rungs = rungs_to_try(engine, description, captures=captures)
    if engine == Rung.COMPILE and Rung.COMPILE not in rungs:
        _log.warning(
            "engine compile is not tried: a compiled step is captured whole, and that of this "
            "optimizer cannot be; going on with %s",
            rungs[0],
        )
    return LadderLoop(
        step,
        randomness,
        rungs=rungs,
        recorder=RECORDERS[device.type](device, randomness.generators) if captures else None,
        compiled=CompiledTask(step.task),
        agreement=Agreement(
            rules.deterministic, TOLERANCES[rules.precision if on_cuda else "fp32"]
        ),
        pays=partial(compiling_pays, steps) if decides_by_clock(engine, rules, device) else None,
        needs_closure=description.needs_closure,
    )


def decides_by_clock(engine: str, rules: Rules, device: torch.device) -> bool:
    """Whether a run may be compiled because its steps take long.

    Not in deterministic mode: a compiled step has other bits than a captured one, and those of a
    run would then depend on how fast a device was.
    """
    return engine == AUTO and device.type == "cuda" and not rules.deterministic


def choose_rates(
    optimizer: torch.optim.Optimizer, description: Optimizer, steps: int, device: torch.device
) -> Rates:
    """Return learning rates in the form that all rungs of a run share, so that their bits agree.

    Tensors where a step may be captured: a captured number would never change.
    """
    if device.type in RECORDERS and description.capturable:
        return TensorRates(optimizer, steps, device)
    return NumberRates(optimizer)


def rungs_to_try(engine: str, description: Optimizer, *, captures: bool) -> Sequence[Rung]:
    """Return the rungs above the plain one, the best first."""
    if engine == Rung.EAGER:
        return ()
    if not captures:
        return (Rung.COMPILE,) if engine == Rung.COMPILE else ()
    if not description.capturable or description.needs_closure:
        return (Rung.GRADIENT_GRAPH,)
    captured = (Rung.GRAPH, Rung.GRADIENT_GRAPH)
    return (Rung.COMPILE, *captured) if engine == Rung.COMPILE else captured


def compiling_pays(steps: int, taken: int, seconds: float) -> bool:
    """Whether compiling saves several times what it takes.

    Args:
        steps: Steps in the whole run.
        taken: Those already taken.
        seconds: Of one step.
    """
    return (steps - taken) * seconds * COMPILE_GAIN > COMPILE_MARGIN * COMPILE_SECONDS
