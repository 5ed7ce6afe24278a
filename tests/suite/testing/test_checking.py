"""How checks run: what they leave alone, what becomes of errors, what a finding says."""

from __future__ import annotations

import pytest
import torch

from normbench import Norm, UsageError
from normbench.testing import Check, ContractError, check_norm
from normbench.testing.checking import findings


def draws(component):
    """It draws a random number."""
    torch.rand(1)


def divides(component):
    """It divides by zero."""
    return 1 / 0


def refuses(component):
    """It refuses."""
    raise UsageError("give another one")


def breaks(component):
    """It keeps its word."""
    raise ContractError("it did not.", "that it does.", "keep it.")


def passes_over(component):
    """It applies to others."""
    return "it is of another kind"


CHECKS = [Check(function) for function in (draws, divides, breaks, passes_over)]


def test_random_state_is_left_alone():
    """A check has random numbers of its own, the same every time."""
    before = torch.random.get_rng_state()
    Check(draws)(None)

    assert torch.equal(before, torch.random.get_rng_state())


def test_unexpected_error_names_its_place_in_the_plugin():
    """An exception in the author's code becomes a failure that says where it came from."""
    with pytest.raises(
        ContractError, match=r"ZeroDivisionError in test_checking.py, line \d+ \(divides\)"
    ) as caught:
        Check(divides)(None)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_refusal_is_quoted_without_a_place():
    """A UsageError speaks for itself."""
    with pytest.raises(ContractError, match=r"^UsageError: give another one"):
        Check(refuses)(None)


def test_findings_say_how_each_check_went():
    """A finding has the fact, the outcome, and for a failure the three sentences."""
    found = findings(CHECKS, None, "norm", "mine", skip=["draws"])

    assert ["skipped", "failed", "failed", "does not apply"] == [one.outcome for one in found]
    assert ("It keeps its word.", "it did not.", "that it does.", "keep it.") == (
        found[2].fact,
        found[2].message,
        found[2].expected,
        found[2].change,
    )
    assert "it is of another kind" == found[3].message


def test_unknown_check_to_skip_is_refused():
    """A misspelt name is answered with the nearest one."""
    norm = Norm(name="mine", summary="a norm")

    with pytest.raises(UsageError, match="Did you mean 'gradients_are_right'"):
        check_norm(norm, skip=["gradient_are_right"])


def test_check_is_named_for_pytest():
    """A check shows its function's name, as pytest's ids=str wants it."""
    assert "draws" == str(Check(draws)) == Check(draws).name
