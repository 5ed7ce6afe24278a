"""What tells one run from another: values that have an effect and differ from their defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normbench.augmentation import Augmentation
from normbench.descriptions import Component, Dataset, Network, Norm, Optimizer, Problem
from normbench.errors import UsageError
from normbench.plugins import Catalogue
from normbench.rules import Ablation, Rules
from normbench.specs import RunSpec


def carries_nothing(ablation: Ablation) -> bool:
    """Whether *ablation* leaves the norm out of every site."""
    return ablation.sites is not None and not any(ablation.sites)


def ablation_identity(ablation: Ablation) -> dict[str, Any]:
    """Return what *ablation* changes; a mask of all ones or zeros is none."""
    values = difference(vars(ablation), vars(Ablation()))
    if not ablation.trains("norm_scale") and ablation.input_norm is None:
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


def idle_rules(rules: Rules, content: str, augmentation: Sequence[str]) -> frozenset[str]:
    """Return the fields that have no effect beside the others.

    Args:
        rules: The fields.
        content: What the dataset holds.
        augmentation: What is done to training images.
    """
    idle = set()
    if content != "images" or not (rules.augment and Augmentation.parse(augmentation).pad):
        idle.add("crop_per")
    if content not in ("images", "files"):
        idle |= {"input_scaling", "augment"}
    if content == "tokens":
        idle |= {"validation_rule", "validation_leak", "validation_driven_by", "shuffle"}
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


def refuse_changed_files(spec: RunSpec, catalogue: Catalogue) -> None:
    """Refuse to train *spec* with a one-off file that has changed since it was resolved.

    Raises:
        UsageError: Naming the component.
    """
    kinds: Mapping[str, tuple[type[Component], str]] = {
        "problem": (Problem, spec.problem.name),
        "dataset": (Dataset, spec.problem.dataset.name),
        "network": (Network, spec.problem.network.name),
        "norm": (Norm, spec.norm.name),
        "optimizer": (Optimizer, spec.optimizer.name),
    }
    for kind, digest in spec.identity.get("files", {}).items():
        component = catalogue.get(*kinds[kind])
        if catalogue.digest(component) != digest:
            raise UsageError(
                f"run {spec.fingerprint[:8]}: the plugin file that offers {kind} "
                f"{component.name!r} is not the one that the run was asked for with. Give that "
                "file, or ask again: with the changed file it is another run."
            )
