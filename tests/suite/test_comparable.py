"""What keeps rows apart, and how tables are named."""

from __future__ import annotations

import pytest

from normbench.comparable import comparable, mixture, titles

ROW = {
    "problem": {"name": "digits_cnn", "batch_size": 32},
    "norm": {"name": "batch_norm", "parameters": {}},
    "ablation": {},
    "optimizer": {"name": "sgd", "parameters": {}},
    "protocol": {"name": "standard"},
    "files": {},
}


@pytest.mark.parametrize(
    "other",
    [
        {"norm": {"name": "none", "parameters": {}}},
        {"ablation": {"train": "frozen"}},
        {"optimizer": {"name": "sgd", "parameters": {"lr": 0.3}}},
        {"files": {"norm": "0123", "optimizer": "4567"}},
        {},
    ],
)
def test_norm_ablation_and_optimizer_are_compared(other):
    """Rows that differ in what is compared, or in the one-off files of it, share a table."""
    assert comparable(ROW) == comparable({**ROW, **other})
    assert not mixture(comparable(ROW), comparable({**ROW, **other}))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"problem": {"name": "digits_cnn"}}, ["problem.batch_size (32 and default)"]),
        ({"protocol": {"name": "quick"}}, ["protocol.name (standard and quick)"]),
        ({"files": {"problem": "0123"}}, ["files.problem (default and 0123)"]),
        ({"schema": 2}, ["schema (default and 2)"]),
    ],
)
def test_everything_else_keeps_rows_apart(other, words):
    """Whatever else the identity holds makes another table, and is named."""
    assert words == mixture(comparable(ROW), comparable({**ROW, **other}))


def test_tables_of_the_same_words_are_told_apart_by_what_differs():
    """Other words are title enough; where they agree, the identity's differences are added."""
    small = comparable({**ROW, "problem": {"name": "digits_cnn", "batch_size": 8}})
    quick = comparable({**ROW, "protocol": {"name": "quick"}})
    words = ("digits_cnn", "standard")
    found = titles({comparable(ROW): words, small: words, quick: ("digits_cnn", "quick")})

    assert [
        "digits_cnn standard problem.batch_size=32",
        "digits_cnn standard problem.batch_size=8",
        "digits_cnn quick",
    ] == list(found.values())
