"""Learning-rate schedules: the factor on the learning rate at every step. No torch."""

from __future__ import annotations

import math

from normbench.rules import Rules


def epoch_factors(rules: Rules, epoch: int, epochs: int, steps: int) -> list[float]:
    """Return the factor for each of the *steps* of *epoch* (counted from 1).

    Formulas: :class:`normbench.rules.Rules`.
    """
    if rules.schedule_per == "epoch":
        return [factor(rules, epoch - 1, epochs)] * steps
    return [factor(rules, epoch - 1 + step / steps, epochs) for step in range(steps)]


def factor(rules: Rules, done: float, epochs: int) -> float:
    """Return the factor after *done* of *epochs* epochs."""
    if done < rules.warmup_epochs:
        return rules.warmup_factor + (1 - rules.warmup_factor) * done / rules.warmup_epochs
    if rules.schedule == "constant":
        return 1.0
    if rules.schedule == "step":
        # A share of the epochs, such as 0.55 of 100, may lie a rounding error above its epoch.
        drops = sum(done >= (milestone - 1e-9) * epochs for milestone in rules.milestones)
        return float(rules.step_factor**drops)
    span = epochs - rules.warmup_epochs
    share = (done - rules.warmup_epochs) / span if span > 0 else 1.0
    if rules.schedule == "linear":
        return 1 - (1 - rules.final_factor) * share
    wave = (1 + math.cos(math.pi * share)) / 2
    return rules.final_factor + (1 - rules.final_factor) * wave
