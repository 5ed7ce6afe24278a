"""normbench's own rules: ``standard``, and ``quick`` for a look."""

from __future__ import annotations

from dataclasses import replace

from normbench import Protocol, Rules, Source

_SOURCE = Source(title="normbench's own rules")

STANDARD = Protocol(
    name="standard",
    summary="10 paired seeds, cosine schedule, 10 % validation, final epoch",
    source=_SOURCE,
    rules=Rules(
        seeds=10,
        first_seed=0,
        validation_share=0.1,
        validation_driven_by="seed",
        drop_last=True,
        schedule="cosine",
        schedule_per="step",
        final_factor=0.0,
        select="final",
        precision="tf32",
        deterministic=True,
    ),
)

QUICK = Protocol(
    name="quick",
    summary="standard with 5 seeds and a tenth of the epochs, for a look",
    source=_SOURCE,
    rules=replace(STANDARD.rules, seeds=5, epoch_share=0.1),
    settings_from="standard",
)
