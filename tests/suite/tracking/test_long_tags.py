"""Texts of any length in tags."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.store import Shown
from normbench.tracking.long_tags import LONGEST, gathered, spread
from normbench.tracking.shown_tables import shown_in, shown_tags


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=50), st.integers(0, 12_000), st.integers(0, 9))
def test_any_text_comes_back_in_tags_that_mlflow_takes(word: str, length: int, seed: int) -> None:
    """What is spread over tags is gathered unchanged, and no tag is longer than allowed."""
    text = word + random.Random(seed).randbytes(length).hex()

    tags = spread("name", text)

    assert text == gathered(tags, "name")
    assert all(len(value) <= LONGEST for value in tags.values())


def test_what_fits_stays_readable() -> None:
    """A text of the longest length is its own tag; one more character is packed."""
    assert {"name": "x" * LONGEST} == spread("name", "x" * LONGEST)
    assert "deflate 1" == spread("name", "x" * (LONGEST + 1))["name"]


@pytest.mark.parametrize("lost", ["name.1", "name.2"])
def test_a_missing_part_is_an_error(lost: str) -> None:
    """Half of a text is never taken for the whole."""
    tags = spread("name", "".join(map(chr, range(33, 20_000))))
    del tags[lost]

    with pytest.raises(ValueError, match="tag name is not whole"):
        gathered(tags, "name")


def test_a_tag_that_is_not_there_is_empty() -> None:
    """A name that nothing was put under gives no text."""
    assert "" == gathered({}, "name")


def test_tables_that_showed_a_row_are_gathered_from_several_stores() -> None:
    """A tag holds those of all, is left alone where it has them, and made anew where damaged."""
    first, second = Shown(1.0, "", "a" * 32, 5), Shown(2.0, "suite x", "b" * 32, 6)
    tag = shown_tags([second], {})
    both = shown_tags([first], tag)

    assert [] == shown_in({})
    assert [first, second] == shown_in(both)
    assert {} == shown_tags([second], both)
    for damaged in ("[[1.0", "[[1.0]]", "3"):
        held = dict.fromkeys(tag, damaged)
        with pytest.raises(ValueError, match=r"damaged|Expecting"):
            shown_in(held)
        assert tag == shown_tags([second], held)
