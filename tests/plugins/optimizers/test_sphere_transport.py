"""Which slices of a parameter are spheres, and what transport along them keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench_plugins.optimizers.spheres import (
    divisors_of,
    inner_product,
    spheres_of,
    squared_norms,
    transport,
    transport_lists,
)

few_examples = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("dims", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=str)
def test_all_dimensions_in_any_order_are_element_wise(dims):
    """All dimensions together number single elements, whatever their order."""
    shape = (4, 3, 2, 2)

    assert spheres_of(shape, None, False) == spheres_of(shape, dims, True)


@pytest.mark.parametrize(
    ("shape", "dims", "wise", "invariance", "known", "expected"),
    [
        ((4, 3, 2, 2), None, True, None, False, ((4, 3, 2, 2), (1, 2, 3), 12)),
        ((4, 3, 2, 2), None, False, None, False, ((4, 3, 2, 2), (), 1)),
        ((4, 3, 2, 2), (), True, None, False, ((4, 3, 2, 2), (0, 1, 2, 3), 48)),
        ((4, 3, 2, 2), (2, 0), True, None, False, ((4, 3, 2, 2), (1, 3), 6)),
        ((4, 3, 2, 2), (2, 0), False, None, False, ((4, 3, 2, 2), (1, 3), 6)),
        ((4,), None, True, None, False, ((4,), (), 1)),
        ((), None, True, None, False, ((), (), 1)),
        ((4, 3), None, True, None, True, ((4, 3), (), 1)),
        ((4, 3), (0,), True, None, True, ((4, 3), (), 1)),
        ((4, 3), None, True, ((2, 2, 3), (0,)), True, ((2, 2, 3), (1, 2), 6)),
        ((4, 3), None, True, ((4, 1, 3), (0,)), True, ((4, 3), (1,), 3)),
        ((4, 1), None, True, ((4, 1, 1), (0,)), True, ((4, 1), (), 1)),
        ((4, 3), (1,), True, ((2, 2, 3), (0,)), True, ((4, 3), (0,), 4)),
        ((4, 3), None, False, ((2, 2, 3), (0,)), True, ((4, 3), (), 1)),
    ],
)
def test_which_slices_are_spheres(shape, dims, wise, invariance, known, expected):
    """Dimensions given, the default, and known invariances decide as documented."""
    spheres = spheres_of(shape, dims, wise, invariance, known)

    assert expected == (spheres.view, spheres.dims, spheres.size)


@st.composite
def moved(draw):
    """Return m, x, x⁺ of three spheres, and the spheres."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    size = draw(st.integers(2, 40))
    vectors = [torch.randn(3, size, generator=generator, dtype=torch.float64) for _ in range(3)]
    return *vectors, spheres_of((3, size), None, True)


def near(actual, expected, scale):
    """Compare up to rounding, relative to *scale*."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11 * (1.0 + float(scale)))


@few_examples
@given(moved())
def test_transport_is_orthogonal_to_the_new_parameter(case):
    """Whatever the momentum, what is transported is tangent at x⁺."""
    momentum, old, new, spheres = case

    result = transport(momentum, old, new, spheres)

    product = inner_product(result, new, spheres)
    near(product, torch.zeros_like(product), result.norm() * new.norm())


@few_examples
@given(moved(), st.floats(-5, 5))
def test_transport_drops_the_radial_part(case, factor):
    """A multiple of x goes to 0."""
    _, old, new, spheres = case

    result = transport(factor * old, old, new, spheres)

    near(result, torch.zeros_like(result), old.norm() ** 2 * new.norm())


@few_examples
@given(moved())
def test_transport_to_the_same_place_projects(case):
    """With x⁺ = x it is the projection on the tangent space."""
    momentum, old, _, spheres = case
    unit = old / old.norm(dim=1, keepdim=True)

    result = transport(momentum, old, old, spheres)

    near(result, momentum - inner_product(momentum, unit, spheres) * unit, momentum.norm())


@few_examples
@given(moved(), st.floats(0.01, 3))
def test_transport_rescales_a_tangent_momentum(case, rate):
    """A tangent m with x⁺ = x - a·m changes its length by ‖x‖/‖x⁺‖."""
    momentum, old, _, spheres = case
    tangent = transport(momentum, old, old, spheres)
    new = old - rate * tangent

    result = transport(tangent, old, new, spheres)

    expected = tangent.norm(dim=1) * old.norm(dim=1) / new.norm(dim=1)
    near(result.norm(dim=1), expected, expected.max())


@few_examples
@given(moved(), st.floats(0.01, 100))
def test_transport_ignores_a_common_scale(case, factor):
    """Rescaling x and x⁺ together changes nothing."""
    momentum, old, new, spheres = case

    result = transport(momentum, factor * old, factor * new, spheres)

    expected = transport(momentum, old, new, spheres)
    near(result, expected, expected.norm())


@few_examples
@given(moved(), st.floats(0.01, 3), st.sampled_from([0.0, 1e-8, 0.1]))
def test_transport_along_the_step_needs_the_new_parameter_alone(case, rate, eps):
    """After x⁺ = x - a·m the list form, which does not know x, equals the formula."""
    momentum, old, _, spheres = case
    new = old - rate * momentum
    expected = transport(momentum, old, new, spheres, eps)
    squares = squared_norms([new], [spheres])

    transport_lists([momentum], [new], squares, divisors_of(squares, eps), [spheres])

    near(momentum, expected, expected.norm())


@pytest.mark.parametrize("eps", [0.0, 0.5])
def test_nothing_is_transported_to_or_from_zero(eps):
    """A divisor is infinite where the norm is 0, so that moments restart from 0."""
    spheres = spheres_of((2, 2), None, True)
    new = torch.tensor([[0.0, 0.0], [1.0, 2.0]])

    (divisor,) = divisors_of(squared_norms([new], [spheres]), eps)
    result = transport(torch.ones(2, 2), torch.tensor([[1.0, 0.0]] * 2), new, spheres, eps)

    torch.testing.assert_close(divisor, torch.tensor([[float("inf")], [5.0 + eps]]))
    assert [0.0, 0.0] == result[0].tolist()
    assert (result[1] != 0).all()
