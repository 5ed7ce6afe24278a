"""Known settings: each names things that exist, and is found by the request it is for."""

from __future__ import annotations

import pytest

from normbench import Norm, Optimizer, Problem, Protocol
from normbench.parameters import checked, rules_of
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.rules import Ablation

CATALOGUE = load_catalogue()
SETTINGS = CATALOGUE.settings()


def name(setting) -> str:
    """Return a setting's cell in one word."""
    return "-".join((setting.problem, setting.norm, setting.optimizer, setting.protocol))


def key(setting) -> tuple:
    """Return what a setting is looked up by."""
    return name(setting), tuple(sorted(setting.ablation.items()))


def test_no_cell_has_two_settings():
    """A cell has one known setting, so none is chosen by the order of files."""
    assert len(SETTINGS) == len({key(setting) for setting in SETTINGS})


@pytest.mark.parametrize("setting", SETTINGS, ids=name)
def test_names_and_values_exist(setting):
    """Every name is registered and every value fits its parameter."""
    optimizer = CATALOGUE.get(Optimizer, setting.optimizer)
    problem = CATALOGUE.get(Problem, setting.problem)

    assert "" == problem.base
    assert setting.norm in CATALOGUE.names(Norm)
    assert setting.protocol in CATALOGUE.names(Protocol)
    values = checked(optimizer.parameters, setting.values, optimizer.name)
    assert dict(setting.values) == {each: values[each] for each in setting.values}
    assert set(setting.ablation) <= {rule.name for rule in rules_of(Ablation)}


@pytest.mark.parametrize("setting", SETTINGS, ids=name)
def test_setting_is_found_by_its_cell(setting):
    """A request for the cell gets exactly these values, marked as known."""
    request = Request(
        problem=setting.problem,
        norm=setting.norm,
        optimizer=setting.optimizer,
        protocol=setting.protocol,
        words=[f"ablation.{word}={value}" for word, value in setting.ablation.items()],
    )
    spec = resolve(request, CATALOGUE)[0]

    assert "published" == spec.setting_origin
    assert dict(setting.values) == {
        each: spec.optimizer.parameters[each] for each in setting.values
    }


@pytest.mark.parametrize("setting", SETTINGS, ids=name)
def test_source_says_who_how_and_with_which_budget(setting):
    """The source names origin, what it was tuned on, and trials with their seeds."""
    parts = setting.source.split("; ")

    assert len(parts) >= 3
    assert "seed" in setting.source
    assert "budget" in setting.source or any(part[:1].isdigit() for part in parts)


def test_dissect_batch_norm_switches_l2_off():
    """The settings that were tuned without L2 do not inherit the problem's coefficient."""
    request = Request(problem="cifar10_3c3d_bn", optimizer="sgd", protocol="dissect_bn")
    spec = resolve(request, CATALOGUE)[0]

    assert 0.0 == spec.optimizer.parameters["weight_decay"]
    assert 0.022610510812765 == spec.optimizer.parameters["lr"]
