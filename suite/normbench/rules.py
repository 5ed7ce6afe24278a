"""The rules of a comparison: protocols, and the ablation of a norm. Data only, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from normbench.descriptions import Component
from normbench.parameters import Value, rule


@dataclass(frozen=True)
class Rules:
    """What a protocol lays down; each field may be overridden as ``protocol.NAME=VALUE``.

    Schedules give the factor on the learning rate, with e the epochs trained so far (a fraction
    within an epoch when *schedule_per* is ``step``), E all epochs, W the warm-up epochs and
    f = *final_factor*:

    - constant: 1
    - step: *step_factor* to the power of the number of *milestones* m with e >= m·E
    - cosine: f + (1 - f)·(1 + cos(π·(e - W)/(E - W)))/2
    - linear: 1 - (1 - f)·(e - W)/(E - W)

    During warm-up (e < W) the factor is instead *warmup_factor* + (1 - *warmup_factor*)·e/W.
    """

    seeds: int = rule(10, "paired runs of a row", kind="int", unit="runs", low=1)
    first_seed: int = rule(0, "seed of the first of them", kind="int", low=0)
    seed_rule: str = rule(
        "plain",
        "what the random streams are keyed by: the seed, or the last 8 digits of its MD5",
        kind="str",
        choices=("plain", "md5"),
    )
    epochs: int | None = rule(
        None, "epochs; null: the problem's", kind="int", unit="epochs", low=1, optional=True
    )
    epoch_share: float = rule(
        1.0,
        "share of those epochs trained, at least one; all of them where protocol.epochs is given",
        kind="float",
        low=0.0,
        high=1.0,
    )
    validation_share: float = rule(
        0.1, "share of the official train part held out, stratified", kind="float", low=0, high=0.9
    )
    validation_rule: str = rule(
        "stratified",
        "how it is drawn: stratified, or by scikit-learn's stratified train_test_split",
        kind="str",
        choices=("stratified", "train_test_split"),
    )
    validation_leak: bool = rule(
        False,
        "draw the training part anew, so that it shares examples with the validation part",
        kind="bool",
    )
    validation_driven_by: str = rule(
        "seed",
        "what the split depends on: each run's seed, or one fixed number",
        kind="str",
        choices=("seed", "fixed"),
    )
    shuffle: bool = rule(True, "draw a new order each epoch", kind="bool")
    drop_last: bool = rule(True, "leave out a last partial training batch", kind="bool")
    augment: bool = rule(True, "apply the problem's augmentation", kind="bool")
    crop_per: str = rule(
        "image", "what draws a crop of its own", kind="str", choices=("image", "batch")
    )
    input_scaling: str = rule(
        "statistics",
        "how images are normalized: by the dataset's mean and standard deviation; by 0.5 and 0.5; "
        "or not, in [0, 1]",
        kind="str",
        choices=("statistics", "half", "none"),
    )
    evaluation_view: str = rule(
        "plain",
        "what is evaluated: the image, or the padded image shrunk to its size",
        kind="str",
        choices=("plain", "shrunk"),
    )
    lr_batch_size: int | None = rule(
        None,
        "batch size that learning rates are given for; null: for every size",
        kind="int",
        unit="examples",
        low=1,
        optional=True,
    )
    lr_batch_rule: str = rule(
        "linear",
        "learning rate at batch size B given for B0: times B/B0, or times B0/B",
        kind="str",
        choices=("linear", "inverse"),
    )
    schedule: str = rule(
        "constant",
        "learning-rate schedule",
        kind="str",
        choices=("constant", "step", "cosine", "linear"),
    )
    schedule_per: str = rule("step", "how often it moves", kind="str", choices=("step", "epoch"))
    milestones: tuple[float, ...] = rule(
        (0.5, 0.75),
        "drops of the step schedule, as shares of the epochs",
        kind="floats",
        low=0.0,
        high=1.0,
    )
    step_factor: float = rule(
        0.1, "factor of each drop of the step schedule", kind="float", low=0.0, high=1.0
    )
    final_factor: float = rule(
        0.0, "factor that cosine and linear end at", kind="float", low=0.0, high=1.0
    )
    warmup_epochs: float = rule(
        0.0, "epochs of linear warm-up before the schedule", kind="float", unit="epochs", low=0.0
    )
    warmup_factor: float = rule(
        0.0, "factor at the start of warm-up", kind="float", low=0.0, high=1.0
    )
    weight_decay: float | None = rule(
        None, "L2 coefficient; null: the problem's", kind="float", low=0.0, optional=True
    )
    decayed_roles: tuple[str, ...] = rule(
        ("weight",),
        "roles of the parameters that weight decay acts on",
        kind="strs",
        choices=("weight", "bias", "norm_scale", "norm_shift", "norm_other", "gain"),
    )
    evaluate_every: int = rule(
        1,
        "epochs between evaluations; the last epoch always counts",
        kind="int",
        unit="epochs",
        low=1,
    )
    evaluation_batch_size: int | None = rule(
        None,
        "examples evaluated at once, of no effect on exact sums; null: what suits the device",
        kind="int",
        unit="examples",
        low=1,
        optional=True,
    )
    train_subset: int = rule(
        0,
        "training examples evaluated without augmentation each time",
        kind="int",
        unit="examples",
        low=0,
    )
    select: str = rule(
        "final",
        "which epoch's test score is reported: the last, or the best on validation",
        kind="str",
        choices=("final", "best"),
    )
    precision: str = rule(
        "tf32",
        "arithmetic: fp32 strict; tf32 in convolutions and products on CUDA (fp32 elsewhere); "
        "bf16 with float32 weights, statistics, loss and optimizer state",
        kind="str",
        choices=("fp32", "tf32", "bf16"),
    )
    deterministic: bool = rule(
        True, "only algorithms that give the same bits every time", kind="bool"
    )
    as_published: bool = rule(
        False, "follow the source in what this protocol corrects by default", kind="bool"
    )


@dataclass(frozen=True, kw_only=True)
class Protocol(Component):
    """The written rules of a comparison, versioned.

    Attributes:
        rules: Its fields.
        settings_from: Another protocol whose known settings are used where this one has none; the
            rows then say so.
        words: Words of sections problem, protocol and network that apply to one dataset, problem or
            norm, by its name, or to all, by ``*``; such as
            ``{"cifar10": {"problem.augmentation": ("pad_crop:2",)}}``. A problem's win over a
            dataset's, a norm's over both.
        published: What ``protocol.as_published=true`` stands for: words of any section but
            ablation, by the same names or by an optimizer's, which wins over the others.
    """

    kind: ClassVar[str] = "protocol"

    rules: Rules = Rules()
    settings_from: str = ""
    words: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """What of a norm is alive; each field may be overridden as ``ablation.NAME=VALUE``.

    With γ the norm's scale and β its shift, both per channel.
    """

    train: str = rule(
        "trained",
        "which of them train: trained (γ and β), fixed (neither), fixed_gamma (β), fixed_beta (γ)",
        kind="str",
        choices=("trained", "fixed", "fixed_gamma", "fixed_beta"),
    )
    sites: tuple[int, ...] | None = rule(
        None,
        "1 for each norm site that carries the norm, 0 for the others; null: all",
        kind="ints",
        low=0,
        high=1,
        optional=True,
    )
    scale_init: float | None = rule(
        None, "initial value of every γ; null: the norm's own", kind="float", optional=True
    )
    shift_init: float | None = rule(
        None, "initial value of every β; null: the norm's own", kind="float", optional=True
    )
    scale_lr_divisor: float = rule(
        1.0, "γ learns at the learning rate divided by this", kind="float", low=1.0
    )
    input_norm: str | None = rule(
        None,
        "norm of the network's input, with γ trained and β fixed at 0; null: none",
        kind="str",
        optional=True,
    )
    input_scale_init: float = rule(
        0.58, "initial γ of the input's norm, times scale_init where that is given", kind="float"
    )

    def trains(self, role: str) -> bool:
        """Whether parameters of *role* train."""
        frozen = {
            "trained": (),
            "fixed": ("norm_scale", "norm_shift"),
            "fixed_gamma": ("norm_scale",),
            "fixed_beta": ("norm_shift",),
        }
        return role not in frozen[self.train]
