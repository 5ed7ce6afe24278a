"""Which runs may train side by side in one process: those of one kind."""

from __future__ import annotations

import dataclasses
import json

from normbench.specs import RunSpec

# Rules by which runs of one kind may differ: none of them shapes a step or what it is done on.
_FREE = {
    *("seeds", "first_seed", "seed_rule", "epochs", "epoch_share", "select", "as_published"),
    *("lr_batch_size", "lr_batch_rule", "schedule", "schedule_per", "milestones", "step_factor"),
    *("final_factor", "warmup_epochs", "warmup_factor", "weight_decay", "decayed_roles"),
}


def pack_key(spec: RunSpec) -> str:
    """Return what the runs of one kind have in common, as text.

    They share dataset, network, norm and sites, batch size, augmentation, optimizer and the rules
    that shape a step, so that their steps take about as long and as much memory, and as many make
    an epoch. They may differ in seed, epochs, learning rate and all other parameters of optimizer
    and norm, and in what of the norm trains.

    Args:
        spec: A run.
    """
    problem, rules = spec.problem, dataclasses.asdict(spec.protocol.rules)
    shared = {
        "problem": [problem.name, problem.version],
        "dataset": dataclasses.asdict(problem.dataset),
        "network": dataclasses.asdict(problem.network),
        "batch_size": problem.training.batch_size,
        "augmentation": problem.training.augmentation,
        "norm": [spec.norm.name, spec.norm.version],
        "sites": spec.ablation.sites,
        "optimizer": [spec.optimizer.name, spec.optimizer.version],
        "rules": {name: value for name, value in rules.items() if name not in _FREE},
    }
    return json.dumps(shared, sort_keys=True, default=list)
