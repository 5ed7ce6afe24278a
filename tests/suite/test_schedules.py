"""Learning-rate factors follow the formulas of the rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import Rules
from normbench.schedules import epoch_factors, factor


@pytest.mark.parametrize(
    ("rules", "done", "expected"),
    [
        (Rules(schedule="constant"), 7, 1.0),
        (Rules(schedule="cosine"), 0, 1.0),
        (Rules(schedule="cosine"), 5, 0.5),
        (Rules(schedule="cosine"), 10, 0.0),
        (Rules(schedule="cosine", final_factor=0.2), 10, 0.2),
        (Rules(schedule="linear"), 2.5, 0.75),
        (Rules(schedule="linear", final_factor=0.5), 10, 0.5),
        (Rules(schedule="step"), 4.99, 1.0),
        (Rules(schedule="step"), 5, 0.1),
        (Rules(schedule="step"), 7.5, 0.01),
        (Rules(schedule="step", milestones=(0.1,), step_factor=0.5), 1, 0.5),
        (Rules(schedule="step", milestones=(0.55,)), 5.5, 0.1),
        (Rules(schedule="step", milestones=(0.55,)), 5.49, 1.0),
        (Rules(schedule="constant", warmup_epochs=4), 1, 0.25),
        (Rules(schedule="constant", warmup_epochs=4, warmup_factor=0.2), 2, 0.6),
        (Rules(schedule="cosine", warmup_epochs=2), 2, 1.0),
        (Rules(schedule="cosine", warmup_epochs=2), 6, 0.5),
    ],
)
def test_factor_equals_the_formula(rules, done, expected):
    """Hand-computed factors of a run of ten epochs."""
    assert expected == pytest.approx(factor(rules, done, 10), abs=1e-12)


def test_epochwise_schedule_is_constant_within_an_epoch():
    """A schedule that moves per epoch gives every step of an epoch its start's factor."""
    rules = Rules(schedule="cosine", schedule_per="epoch")

    assert [factor(rules, 2, 10)] * 4 == epoch_factors(rules, 3, 10, 4)


@settings(deadline=None, max_examples=60)
@given(
    schedule=st.sampled_from(["constant", "step", "cosine", "linear"]),
    epochs=st.integers(1, 20),
    steps=st.integers(1, 7),
    warmup=st.floats(0, 3),
)
def test_factors_stay_between_zero_and_one(schedule, epochs, steps, warmup):
    """No schedule ever raises the learning rate above its base or below zero."""
    rules = Rules(schedule=schedule, warmup_epochs=warmup)
    factors = [
        f for epoch in range(1, epochs + 1) for f in epoch_factors(rules, epoch, epochs, steps)
    ]

    assert steps * epochs == len(factors)
    assert all(0 <= f <= 1 for f in factors)


def test_each_step_starts_from_the_share_of_the_epoch_done_before_it():
    """The second of four epochs of four steps begins at a quarter of a linear decay."""
    factors = epoch_factors(Rules(schedule="linear"), 2, 4, 4)

    assert [0.75, 0.6875, 0.625, 0.5625] == pytest.approx(factors)
