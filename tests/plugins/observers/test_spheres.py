"""Radius, effective learning rate and angle of scale-invariant weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench.engine.step import Step


def seen(observe, optimizer, *words, problem="digits_cnn_bn", **request):
    """Return what is seen at every step."""
    return observe("spheres:every_steps=1", problem, optimizer, words, **request)


def test_sphere_of_sgd_turns_at_its_effective_learning_rate(observe):
    """η_e = η / r², and radii and angles are those of the weights."""
    moments = seen(observe, "sgd", "lr=0.25", "protocol.schedule=linear")
    radii, rates = moments.arrays["weight_norm"], moments.arrays["effective_learning_rate"]

    for step, radius, rate in zip(moments.steps, radii, rates, strict=True):
        eta = 0.25 * (1 - max(step - 1, 0) / 5)
        assert np.allclose(eta / radius**2, rate, rtol=1e-12)
    assert not moments.arrays["angle"][0].any()
    assert all((angle > 0).all() for angle in moments.arrays["angle"][1:])


def test_angle_is_that_between_successive_weights(observe, monkeypatch):
    """The arc cosine of the normalized weights of two moments, computed another way."""
    weights = []
    gradient = Step.gradient

    def remember(step, size):
        weights.append(step.network.conv1.weight.detach().double().clone())
        return gradient(step, size)

    monkeypatch.setattr(Step, "gradient", remember)
    moments = seen(observe, "momentum", "lr=0.5")
    for index in (1, 2, 3):
        here, there = (w.flatten(1) for w in (weights[index], weights[index - 1]))
        cosines = torch.cosine_similarity(here, there).clamp(-1, 1)
        angles = moments.arrays["angle"][index][: len(cosines)]
        assert np.allclose(torch.acos(cosines), angles, atol=1e-6)


LENGTHS = {"conv1.weight": 9, "conv2.weight": 144, "dense1.weight": 512}


@pytest.mark.parametrize("optimizer", ["adam", "adam_s", "rmsprop"])
def test_divisor_of_adaptive_optimizers_counts(optimizer, observe):
    """The first gradient g, of one length for each sphere, gives the divisor ‖g‖ / √d."""
    moments = seen(observe, optimizer, "lr=0.001")
    gradients = seen(observe, "sgd", "lr=1.0").arrays["angle"][1]
    radii, rates = moments.arrays["weight_norm"], moments.arrays["effective_learning_rate"]

    assert np.isnan(rates[0]).all()
    sizes = np.array([LENGTHS[name] for name in moments.fixed["weight_name"]])
    d = sizes[moments.fixed["sphere_weight"]]
    # A gradient is tangent to its sphere, so a step of plain SGD turns by arctan(‖g‖ / r).
    lengths = np.tan(gradients) * radii[0]
    share = 0.01**0.5 if optimizer == "rmsprop" else 1.0
    assert np.allclose(0.001 / (radii[1] ** 2 * share * lengths / d**0.5), rates[1], rtol=2e-3)


def test_spheres_are_counted_as_the_norm_says(observe):
    """One for each channel under batch norm, one for each group under group norm, none without."""
    counts = {
        norm: len(observe("spheres", "digits_cnn", norm=norm, train=False).fixed["sphere_weight"])
        for norm in ("batch_norm", "group_norm", "layer_norm", "none")
    }

    assert {"batch_norm": 80, "group_norm": 24, "layer_norm": 3, "none": 0} == counts
