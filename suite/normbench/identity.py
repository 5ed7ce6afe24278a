"""What tells one run from another: values that have an effect and differ from their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normbench.rules import Ablation, Rules


def carries_nothing(ablation: Ablation) -> bool:
    """Whether *ablation* leaves the norm out of every site."""
    return ablation.sites is not None and not any(ablation.sites)


def ablation_identity(ablation: Ablation) -> dict[str, Any]:
    """Return what *ablation* changes; a mask of all ones or zeros is none."""
    values = difference(vars(ablation), vars(Ablation()))
    if not ablation.trains("norm_scale"):
        values.pop("scale_lr_divisor", None)
    if ablation.sites is not None and len(set(ablation.sites)) == 1:
        del values["sites"]
    if ablation.input_norm is None:
        values.pop("input_scale_init", None)
    return values


def difference(
    values: Mapping[str, Any], base: Mapping[str, Any], leave_out: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the *values* that differ from *base*, in the types that JSON gives back."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != base[name] and name not in leave_out
    }


def idle_rules(rules: Rules) -> frozenset[str]:
    """Return the fields that have no effect beside the others."""
    idle = set()
    if rules.lr_batch_size is None:
        idle.add("lr_batch_rule")
    if not rules.validation_share:
        idle |= {"validation_rule", "validation_leak", "validation_driven_by"}
    if rules.schedule != "step":
        idle |= {"milestones", "step_factor"}
    if rules.schedule not in ("cosine", "linear"):
        idle.add("final_factor")
    if not rules.warmup_epochs:
        idle.add("warmup_factor")
        if rules.schedule == "constant":
            idle.add("schedule_per")
    return frozenset(idle)


def shown(value: Any) -> str:
    """Return *value* as it is typed on the command line."""
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
