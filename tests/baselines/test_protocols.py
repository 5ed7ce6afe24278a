"""The built-in protocols."""

from __future__ import annotations

import pytest

from normbench import (
    Dataset,
    Network,
    Norm,
    Optimizer,
    Parameter,
    Problem,
    Protocol,
    Training,
    UsageError,
)
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


NAMED = {kind: CATALOGUE.names(kind) for kind in (Dataset, Problem, Norm, Optimizer)}
LAID_DOWN = [
    (protocol, name, word, value)
    for protocol in PROTOCOLS
    for by_name in (protocol.words, protocol.published)
    for name, words in by_name.items()
    for word, value in words.items()
]


def parameters_of(word: str, name: str) -> list[Parameter]:
    """Return the parameters that a word of a protocol for *name* may set."""
    section, _, field = word.rpartition(".")
    owners = {
        "": [CATALOGUE.get(Optimizer, name).parameters if name in NAMED[Optimizer] else ()],
        "problem": [rules_of(Training)],
        "protocol": [rules_of(Rules)],
        "norm": [CATALOGUE.get(Norm, name).parameters if name in NAMED[Norm] else ()],
        "network": [offer.component.parameters for offer in CATALOGUE.offers(Network)],
    }[section]
    return [each for parameters in owners for each in parameters if each.name == field]


@pytest.mark.parametrize(
    ("protocol", "name", "word", "value"), LAID_DOWN, ids=lambda each: getattr(each, "name", None)
)
def test_words_of_protocols_fit(protocol, name, word, value):
    """Words are for a name that exists, of a field that exists, with a value that fits."""
    found = parameters_of(word, name)

    assert name == "*" or any(name in names for names in NAMED.values())
    assert found
    assert any(value == _accepted(parameter, value) for parameter in found)


def _accepted(parameter: Parameter, value):
    try:
        return parameter.check(value, "a protocol")
    except UsageError:
        return None


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
