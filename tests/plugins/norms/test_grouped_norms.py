"""Group, layer and instance norm against recorded numbers and the bare formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import Site, UsageError
from normbench_plugins.norms import GroupNorm, InstanceNorm, LayerNorm, normalise_groups
from normbench_plugins.norms.group_norm import fit

RECORDED = [
    (LayerNorm(8), (0.32856635, 1.45737074, 1.48387677, 0.33169502), 511.990391),
    (InstanceNorm(8), (0.18876492, 1.27461637, 1.3001138, 0.19177454), 511.990185),
    (
        GroupNorm(8, 2, variance="unbiased"),
        (0.34911642, 1.46863913, 1.49492721, 0.35221936),
        503.990683,
    ),
    (GroupNorm(8, 2), (0.35187622, 1.48024889, 1.50674478, 0.3550037), 511.990385),
]


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def site(features, kind="conv"):
    """Return norm site 3 with *features* channels."""
    return Site(index=3, kind=kind, features=features, layer=None, activation_follows=True)


@pytest.mark.parametrize(("norm", "first", "squares"), RECORDED, ids=str)
def test_output_is_the_recorded_one(norm, first, squares):
    """A fresh norm gives the recorded values, their sum and their sum of squares."""
    outputs = norm.double()(wave()).detach()

    expected = torch.tensor(first, dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], expected, rtol=0, atol=1e-8)
    assert pytest.approx(0.0, abs=1e-9) == outputs.sum().item()
    assert pytest.approx(squares, abs=1e-6) == outputs.square().sum().item()


@given(
    examples=st.integers(1, 3),
    groups=st.integers(1, 4),
    members=st.integers(1, 4),
    height=st.integers(2, 5),
    offset=st.floats(-100.0, 100.0),
)
@settings(max_examples=40, deadline=None)
def test_follows_the_formula(examples, groups, members, height, offset):
    """Each group has its own mean and biased variance, for any shape and any mean."""
    inputs = torch.randn(examples, groups * members, height, 3, dtype=torch.float64) + offset
    scale, shift = torch.randn(2, groups * members, dtype=torch.float64)
    rows = inputs.reshape(examples * groups, -1)
    centred = rows - rows.mean(1, keepdim=True)
    normal = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    expected = normal.view_as(inputs) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    actual = normalise_groups(inputs, scale, shift, groups, 1e-5)

    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", [norm for norm, *_ in RECORDED], ids=str)
def test_examples_do_not_meet(norm):
    """An example alone, in training or in evaluation, gives what it gives within a batch."""
    inputs = torch.randn(4, 8, 3, 3, dtype=torch.float64)
    expected = norm.double().train()(inputs)[2:3]

    torch.testing.assert_close(norm.train()(inputs[2:3]), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.eval()(inputs[2:3]), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (InstanceNorm(8), (2, 8, 1, 1)),
        (InstanceNorm(8), (2, 8)),
        (GroupNorm(8, 8), (2, 8)),
        (LayerNorm(1), (2, 1)),
    ],
    ids=str,
)
def test_group_of_one_value_is_refused(norm, shape):
    """A group of one value would make the output constant; leaving the site out is the fix."""
    with pytest.raises(UsageError, match=r"one value.*--sites"):
        norm(torch.randn(shape))


def test_group_size_decides_instead_of_the_number_of_groups():
    """Of 12 channels in groups of 4 there are 3, whatever the number of groups says."""
    fitting = fit(site(12), num_groups=8, group_size=4)

    assert 3 == fitting.groups == fitting.norm.num_groups


@pytest.mark.parametrize(
    ("p", "features", "groups"),
    [
        (8.0, 64, 8),
        (8.9, 64, 8),
        (0.5, 64, 32),
        (0.03125, 64, 2),
        (1.0, 12, 12),
        (1e-7, 12, 1),
        (0.3, 12, 4),
        (0.12, 64, 8),
    ],
)
def test_p_grouping_counts_groups_as_its_source_does(p, features, groups):
    """Above 1 p is the groups, cut to a whole number; below, its share of channels, rounded up."""
    assert groups == fit(site(features), p_grouping=p).norm.num_groups


@pytest.mark.parametrize(
    "parameters",
    [
        {"group_size": 4, "p_grouping": 0.5},
        {"num_groups": 4, "group_size": 4},
        {"num_groups": 4, "p_grouping": 4.0},
    ],
    ids=str,
)
def test_two_counts_of_groups_are_one_too_many(parameters):
    """Of the three spellings only one may be given; the error repeats both."""
    given_words = " and ".join(f"norm.{name}={value:g}" for name, value in parameters.items())

    with pytest.raises(UsageError, match=rf"{given_words} each say .* Leave the other out"):
        fit(site(16), **parameters)


def test_p_grouping_that_does_not_divide_is_explained():
    """The error says how many groups p came to, and which numbers of groups would do."""
    words = r"norm\.p_grouping=64, that is 64 groups, does not divide the 32 channels"

    with pytest.raises(UsageError, match=rf"{words}.*1, 2, 4, 8, 16, 32"):
        fit(site(32), p_grouping=64.0)


@pytest.mark.parametrize(
    ("parameters", "given_words", "allowed"),
    [
        ({}, "norm.num_groups=8", "1, 2, 3, 4, 6, 12"),
        ({"num_groups": 24}, "norm.num_groups=24", "1, 2, 3, 4, 6, 12"),
        ({"group_size": 5}, "norm.group_size=5", "1, 2, 3, 4, 6, 12"),
    ],
)
def test_groups_that_do_not_divide_are_explained(parameters, given_words, allowed):
    """The error names site, channels, what was given, and every number that works."""
    with pytest.raises(UsageError) as caught:
        fit(site(12), **parameters)

    message = str(caught.value)
    assert message.startswith(f"{given_words} does not divide the 12 channels of norm site 3:")
    assert f"one of {allowed}." in message


@pytest.mark.parametrize(
    ("parameters", "allowed"),
    [({"num_groups": 12}, "1, 2, 3, 4, 6"), ({"group_size": 1}, "2, 3, 4, 6, 12")],
)
def test_single_channels_are_no_groups_at_a_dense_site(parameters, allowed):
    """At a dense site a channel is one value, so groups of one channel are refused."""
    with pytest.raises(UsageError) as caught:
        fit(site(12, "dense"), **parameters)

    assert "single value" in str(caught.value)
    assert f"one of {allowed}." in str(caught.value)


def test_constructor_refuses_groups_that_do_not_divide():
    """Used alone, group norm explains the same mistake."""
    with pytest.raises(UsageError, match=r"num_groups=5 for 12 channels.*1, 2, 3, 4, 6, 12"):
        GroupNorm(12, num_groups=5)
