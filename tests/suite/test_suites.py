"""Suite files: what they expand to, and what is said of a file that is wrong."""

from __future__ import annotations

import pytest

from normbench import UsageError
from normbench.plugins import load_catalogue
from normbench.suites import expand, find_suite

CATALOGUE = load_catalogue()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a suite file into the working directory."""
    monkeypatch.chdir(tmp_path)

    def written(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return written


def requests(name: str, *words: str, seeds=None):
    """Return the requests that a suite expands to."""
    return expand(find_suite(name, CATALOGUE), CATALOGUE, words, seeds).requests


def test_lists_make_every_combination(write):
    """Two problems, two norms and two optimizers are eight cells, with the suite's seeds."""
    file = write(
        "{problems: [digits_cnn, digits_cnn_bn], norms: [batch_norm, group_norm], "
        "optimizers: [sgd, adam], protocol: quick, seeds: 3}"
    )
    cells = requests(file)

    assert 8 == len({(cell.problem, cell.norm, cell.optimizer) for cell in cells})
    assert {("quick", 3)} == {(cell.protocol, cell.seeds) for cell in cells}


def test_values_of_a_choice_become_words(write):
    """A norm's values are words with its prefix, an optimizer's are bare, a mask is a mask."""
    file = write(
        "{problem: digits_cnn, norm: {name: group_norm, num_groups: 4}, "
        "ablation: {train: fixed, sites: '0,1,1', scale_init: 0.5}, "
        "optimizer: {name: sgd, lr: 0.2}, protocol: {name: quick, epochs: 2}}"
    )
    (cell,) = requests(file)

    assert (
        "norm.num_groups=4",
        "ablation.scale_init=0.5",
        "lr=0.2",
        "protocol.epochs=2",
    ) == cell.words
    assert ("fixed", (0, 1, 1)) == (cell.ablation, cell.sites)


def test_grids_inherit_what_they_leave_out(write):
    """A grid takes from the top what it does not say, also between singular and plural."""
    file = write(
        "{problem: digits_cnn, optimizers: [sgd, adam], words: {lr: 0.1}, "
        "grids: [{norm: group_norm, optimizer: sgd, words: {problem.batch_size: 8}}]}"
    )
    cells = [(cell.norm, cell.optimizer, cell.words) for cell in requests(file)]

    assert [
        (None, "sgd", ("lr=0.1",)),
        (None, "adam", ("lr=0.1",)),
        ("group_norm", "sgd", ("lr=0.1", "problem.batch_size=8")),
    ] == cells


def test_exclusions_and_overrides_concern_their_cells_alone(write):
    """An excluded cell is left out with its reason; an override changes the cells it names."""
    file = write(
        "{problem: digits_cnn, norms: [none, batch_norm], optimizers: [sgd, adam],"
        "exclude: [{norm: none, optimizer: adam, reason: known}],"
        "overrides: [{when: {optimizer: [adam]}, words: {lr: 0.5}}]}"
    )
    plan = expand(find_suite(file, CATALOGUE), CATALOGUE)

    assert [
        ("none", "sgd", ()),
        ("batch_norm", "sgd", ()),
        ("batch_norm", "adam", ("lr=0.5",)),
    ] == [(cell.norm, cell.optimizer, cell.words) for cell in plan.requests]
    assert ["known"] == [exclusion.reason for exclusion in plan.exclusions]


def test_included_cells_come_once(write):
    """A cell that an included suite has as well is not trained twice."""
    write("{problem: digits_cnn, optimizers: [sgd, adam]}", "first.yaml")
    file = write("{problem: digits_cnn, optimizers: [adam, rmsprop], include: [first.yaml]}")

    assert ["sgd", "adam", "rmsprop"] == [cell.optimizer for cell in requests(file)]


def test_words_and_seeds_of_the_user_win(write):
    """Words given with the command come after the suite's, and its seeds give way."""
    file = write("{problem: digits_cnn, optimizer: sgd, seeds: 9, words: {lr: 0.1}}")
    (cell,) = requests(file, "lr=0.3", seeds=2)

    assert (("lr=0.1", "lr=0.3"), 2) == (cell.words, cell.seeds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{problem: digits_cnn}", "names no optimizer"),
        ("{optimizer: sgd}", "names no problem"),
        ("{problm: digits_cnn}", "Did you mean 'problem'"),
        ("[1, 2]", "no mapping"),
        ("{problem: [", "cannot be read"),
        ("{problem: digits_cnn, optimizer: {lr: 1}}", "name is missing"),
        ("{problem: digits_cnn, optimizer: sgd, words: 3}", "no words"),
        ("{problem: digits_cnn, optimizer: sgd, grids: [3]}", "no grid"),
        ("{problem: digits_cnn, optimizer: sgd, exclude: [{norm: none}]}", "no reason"),
        ("{problem: digits_cnn, optimizer: sgd, exclude: [{reason: x}]}", "no cell"),
        (
            "{problem: digits_cnn, optimizer: sgd, exclude: [{optimizer: adm, reason: x}]}",
            "no cell has optimizer: adm",
        ),
        (
            "{problem: digits_cnn, optimizer: sgd, overrides: [{when: {optimizer: sgd}}]}",
            "has no words",
        ),
        ("{problem: digits_cnn, optimizer: sgd, include: [mine.yaml]}", "include each other"),
        (
            "{problem: digits_cnn, optimizer: sgd, ablation: {sites: 'x'}}",
            "no mask",
        ),
    ],
)
def test_mistakes_are_named(write, text, message):
    """A file that is wrong is refused with what is wrong and how to mend it."""
    file = write(text)

    with pytest.raises(UsageError, match=message):
        requests(file)


def test_unknown_suite_answers_with_what_exists():
    """A misspelt name is answered with the nearest, and a missing file with its path."""
    with pytest.raises(UsageError, match="Did you mean 'spherical'"):
        requests("spherial")
    with pytest.raises(UsageError, match=r"nowhere\.yaml: it does not exist"):
        requests("nowhere.yaml")
