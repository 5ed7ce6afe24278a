"""Which published number stands beside which row."""

from __future__ import annotations

import pytest

from normbench.descriptions import Suite
from normbench.reproduction.matching import match
from normbench.resolve import Request, resolve

NUMBERS = {"spherical": 53, "group_norm_study": 10, "deepobs_small": 12, "deepobs_large": 12}


def matched(specs_of, catalogue, suite, *words):
    return match([specs[0] for specs in specs_of(suite, *words)], catalogue)


def test_suites_find_the_numbers_of_their_papers(specs_of, catalogue):
    """Each number of a paper's table stands beside one row of its suite, and of no other suite."""
    for suite in catalogue.names(Suite):
        found = matched(specs_of, catalogue, suite).found

        assert NUMBERS.get(suite, 0) == len(found), suite
        assert len(found) == len({id(each.published) for each in found}), suite


def test_rows_meet_the_conditions_that_tell_numbers_apart(specs_of, catalogue):
    """Batch size and number of groups of a number are those of its row."""
    for each in matched(specs_of, catalogue, "group_norm_study").found:
        conditions = each.published.conditions

        assert conditions["batch_size"] == each.spec.problem.training.batch_size
        assert each.spec.norm.parameters.get("num_groups") == conditions.get("num_groups")
        assert not each.changed


def test_numbers_of_other_quantities_stay_alone(specs_of, catalogue):
    """Validation accuracies are no test accuracies, and are said to have no row."""
    unmatched = matched(specs_of, catalogue, "group_norm_study").unmatched

    assert ["validation_accuracy"] * 3 == [result.metric for result in unmatched]


@pytest.mark.parametrize(
    ("words", "count", "changed"),
    [
        (("protocol.epochs=1",), 10, ("protocol.epochs=1",)),
        (("protocol.as_published=true",), 10, ("protocol.as_published=true",)),
    ],
)
def test_changed_rules_are_told(specs_of, catalogue, words, count, changed):
    """Rows under changed rules stand beside the numbers with their words."""
    found = matched(specs_of, catalogue, "group_norm_study", *words).found

    assert count == len(found)
    assert {changed} == {each.changed for each in found}


@pytest.mark.parametrize(("groups", "count"), [(8, 1), (4, 0)])
def test_other_norm_parameters_are_another_method(catalogue, groups, count):
    """Four groups do not repeat a number of eight."""
    request = Request(
        problem="cifar10_resnet20",
        optimizer="momentum",
        norm="group_norm",
        protocol="group_norm_study",
        words=(f"norm.num_groups={groups}", "problem.batch_size=16"),
    )

    assert count == len(match(resolve(request, catalogue)[:1], catalogue).found)
