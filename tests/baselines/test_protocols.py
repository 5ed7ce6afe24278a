"""The built-in protocols."""

from __future__ import annotations

import pytest

from normbench import Dataset, Protocol, Training
from normbench.parameters import rules_of
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.rules import Rules

CATALOGUE = load_catalogue()
PROTOCOLS = [offer.component for offer in CATALOGUE.offers(Protocol)]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_rules_lie_in_their_ranges(protocol):
    """Every rule of every protocol is a value that a user could have given."""
    for parameter in rules_of(Rules):
        value = getattr(protocol.rules, parameter.name)

        assert value == parameter.check(value, protocol.name)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_words_for_one_dataset_fit(protocol):
    """Words for a dataset name one that exists, a field that exists, and a value that fits."""
    parameters = {f"protocol.{p.name}": p for p in rules_of(Rules)}
    parameters |= {f"problem.{p.name}": p for p in rules_of(Training)}
    for dataset, words in protocol.words.items():
        assert dataset in CATALOGUE.names(Dataset)
        for word, value in words.items():
            assert value == parameters[word].check(value, protocol.name)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_settings_come_from_a_protocol_that_exists(protocol):
    """A protocol that borrows settings names one that is registered."""
    assert protocol.settings_from in ("", *CATALOGUE.names(Protocol))


def spec(protocol: str, problem: str = "cifar10_3c3d"):
    """Return the first run of a problem under a protocol."""
    return resolve(Request(problem=problem, optimizer="sgd", protocol=protocol), CATALOGUE)[0]


def seeds(protocol: str) -> list[int]:
    """Return the seeds that a protocol runs."""
    request = Request(problem="digits_cnn", optimizer="sgd", protocol=protocol)
    return [each.seed for each in resolve(request, CATALOGUE)]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("standard", list(range(10))),
        ("quick", list(range(5))),
        ("deepobs", list(range(42, 52))),
    ],
)
def test_seeds_of_each_protocol(protocol, expected):
    """Standard runs seeds 0 to 9, quick 0 to 4, deepobs 42 to 51."""
    assert expected == seeds(protocol)


def test_quick_is_standard_with_fewer_seeds_and_epochs():
    """Quick differs from standard in the number of seeds and the share of epochs, nowhere else."""
    standard, quick = spec("standard").protocol.rules, spec("quick").protocol.rules
    differing = {name for name, value in vars(quick).items() if value != getattr(standard, name)}

    assert {"seeds", "epoch_share"} == differing
    assert (100, 10) == (spec("standard").epochs, spec("quick").epochs)


def test_standard_decays_to_zero_by_step():
    """Standard's learning rate follows a cosine to 0 in every step."""
    rules = spec("standard").protocol.rules

    assert ("cosine", "step", 0.0) == (rules.schedule, rules.schedule_per, rules.final_factor)


@pytest.mark.parametrize(
    ("problem", "held_out"),
    [("cifar10_3c3d", 10_000), ("cifar100_allcnnc", 10_000), ("fmnist_2c2d", 10_000)],
)
def test_deepobs_validates_on_as_many_examples_as_it_tests_on(problem, held_out):
    """Under deepobs the validation part is as large as the test part."""
    resolved = spec("deepobs", problem)
    dataset = CATALOGUE.get(Dataset, resolved.problem.dataset.name)
    share = resolved.protocol.rules.validation_share

    assert held_out == dataset.test_size == round(share * dataset.train_size)


def test_deepobs_augments_cifar_as_deepobs_does():
    """Under deepobs CIFAR images are cropped with a padding of 2, mirrored and recoloured."""
    augmentation = spec("deepobs").problem.training.augmentation

    assert ("pad_crop:2", "flip", "colour_jitter") == augmentation
    assert () == spec("deepobs", "fmnist_2c2d").problem.training.augmentation
