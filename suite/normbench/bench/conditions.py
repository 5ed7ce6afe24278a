"""Under which conditions a call of ``normbench bench`` measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from normbench.bench.material import Material
from normbench.bench.timing import STRETCH_SECONDS
from normbench.engine.meter import Meter
from normbench.engine.precision import computed_in


def conditions(
    material: Material, modes: Sequence[bool], rounds: int, meter: Meter | None
) -> dict[str, Any]:
    """Return what is known before the first row is measured.

    Args:
        material: What is measured.
        modes: Whether the engine's rows are deterministic, one after another.
        rounds: How many there will be.
        meter: Of the GPU.
    """
    spec, device = material.spec, material.device
    found = material.environment
    rules = spec.protocol.rules
    return {
        "hardware": found["hardware"]["device"],
        "processor": found["hardware"]["processor"],
        "cores": found["hardware"]["cores"],
        "device": device.type,
        "driver": meter.driver() if meter else "",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "versions": found["versions"],
        "norm": spec.norm_label,
        "optimizer": spec.optimizer_label,
        "protocol": spec.protocol.name,
        "precision": computed_in(rules.precision, device),
        "deterministic": list(modes),
        "batch_size": material.batch_size,
        "augmentation": list(spec.problem.training.augmentation) if rules.augment else [],
        "examples_trained": material.trained,
        "examples_evaluated": {
            name: len(part) for name, part in material.parts.items() if name != "training"
        },
        "steps": material.steps,
        "repeats": material.repeats,
        "rounds": rounds,
        "clock": _CLOCKS[device.type],
        "joules": ENERGY if meter and meter.joules() is not None else "",
    }


ENERGY = (
    f"of one epoch end to end, from one stretch of them of at least {STRETCH_SECONDS:g} s a row "
    "after the rounds"
)
_CLOCKS = {
    "cuda": "events on the device",
    "cpu": "processor time of this process and of its loader processes",
}


def state(meter: Meter | None) -> dict[str, Any]:
    """Return how busy the machine is now: its load, and the GPU's clocks, power, temperature."""
    load = [round(value, 2) for value in os.getloadavg()]
    return {"load": load, **(meter.state() if meter else {})}
