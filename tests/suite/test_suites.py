"""Suite files: what they expand to, and what is said of a file that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from normbench import Suite, UsageError
from normbench.plugins import load_catalogue
from normbench.resolve import request_label
from normbench.suites import expand, find_suite
from normbench.suites.schema import SCHEMA

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


def test_words_of_an_override_win_over_those_of_cell_and_grid(write):
    """A choice's own value replaces the grid's word, an override both, a later override that."""
    file = write(
        "{problem: digits_cnn, optimizers: [{name: sgd, lr: 0.2}, {name: adam, lr: 0.2}],"
        "words: {protocol.epochs: 2, lr: 0.9, problem.augmentation: []}, overrides: ["
        "{when: {optimizer: sgd}, words: {lr: 0.5, protocol.epochs: 3}},"
        "{when: {problem: digits_cnn, optimizer: sgd}, words: {lr: 0.7}}]}"
    )
    first, second = requests(file)

    plain = "problem.augmentation=[]"
    assert {"lr=0.7", "protocol.epochs=3", plain} == set(first.words)
    assert {"lr=0.2", "protocol.epochs=2", plain} == set(second.words)


def test_included_cells_come_once(write):
    """A cell that an included suite has as well is not trained twice; its reference comes along."""
    first = "{problem: digits_cnn, optimizers: [sgd, adam], reference: {optimizer: adam}}"
    write(first, "first.yaml")
    file = write("{problem: digits_cnn, optimizers: [adam, rmsprop], include: [first.yaml]}")

    assert ["sgd", "adam", "rmsprop"] == [cell.optimizer for cell in requests(file)]
    plan = expand(find_suite(file, CATALOGUE), CATALOGUE)
    assert ["adam"] == [cell.optimizer for cell in plan.references]


def test_words_and_seeds_of_the_user_win(write):
    """Words given with the command come after the suite's, and its seeds give way."""
    file = write("{problem: digits_cnn, optimizer: sgd, seeds: 9, words: {lr: 0.1}}")
    (cell,) = requests(file, "lr=0.3", seeds=2)

    assert (("lr=0.1", "lr=0.3"), 2) == (cell.words, cell.seeds)


CELL = "problem: digits_cnn, optimizer: sgd"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("{problem: digits_cnn}", "", "names no optimizer"),
        ("{optimizer: sgd}", "", "names no problem"),
        ("", "", "it is empty. Expected at least problems"),
        ("some plain words", "", "no mapping"),
        ("[1, 2]", "", "no mapping"),
        ("{problem: [", "", "cannot be read"),
        ("{problm: digits_cnn}", "line 1, problm", "Did you mean 'problem'"),
        ("problems: []\noptimizer: sgd", "line 1, problems", "it is empty: expected a list"),
        ("problem: digits_cnn\noptimizers:\n  - sgd\n  - adm", "line 4, optimizers[1]", "'adam'"),
        ("problem: digits_cn\noptimizer: sgd", "line 1, problem", "Did you mean 'digits_cnn'"),
        (f"{{{CELL}, protocol: qick}}", "line 1, protocol", "Did you mean 'quick'"),
        (f"{{{CELL}, ablation: fix}}", "line 1, ablation", "Did you mean 'fixed'"),
        (f"{{{CELL}, norms: [{{name: group_norm, groups: 3}}]}}", "norms[0].groups", "num_groups"),
        (f"{{{CELL}, norms: [{{name: group_norm, num_groups: x}}]}}", "num_groups", "whole number"),
        ("{problem: digits_cnn, optimizer: {lr: 1}}", "optimizer", "name is missing"),
        ("{problem: [digits_cnn, digits_cnn_bn], optimizer: sgd}", "problem", "write problems: "),
        ("{problem: 3, optimizer: sgd}", "problem", "3 does not fit: expected one problem"),
        (f"{{{CELL}, norms: [none, no]}}", "norms[1]", "false does not fit"),
        (f"{{{CELL}, problems: [digits_cnn]}}", "problem", "problem and problems are both"),
        (f"{{{CELL}, words: 3}}", "words", "3 does not fit: expected words"),
        (f"{{{CELL}, words: {{protocl.epochs: 3}}}}", "protocl.epochs", "Did you mean 'protocol'"),
        (f"{{{CELL}, words: {{protocol.epoch: 3}}}}", "protocol.epoch", "Did you mean 'epochs'"),
        (f"{{{CELL}, words: {{protocol.epochs: 0}}}}", "protocol.epochs", "at least 1"),
        (f"{{{CELL}, words: {{lr: {{a: 1}}}}}}", "words.lr", "expected a value"),
        (f"{{{CELL}, grids: [3]}}", "grids[0]", "expected a grid"),
        (f"{{{CELL}, grids: [{{norm: {{}}}}]}}", "grids[0].norm", "name is missing"),
        (f"{{{CELL}, seeds: 0}}", "seeds", "0 is too small: expected a number of seeds"),
        (f"{{{CELL}, seeds: []}}", "seeds", "it is empty: expected a list of seeds"),
        (f"{{{CELL}, seeds: [-1]}}", "seeds[0]", "-1 is too small"),
        (f"{{{CELL}, seeds: 2.5}}", "seeds", "2.5 does not fit"),
        (f"{{{CELL}, seeds: many}}", "seeds", "expected a number of seeds"),
        (f"{{{CELL}, exclude: [{{norm: none}}]}}", "exclude[0]", "its reason is missing"),
        (f"{{{CELL}, exclude: [{{reason: x}}]}}", "exclude[0]", "says for no cell"),
        (f"{{{CELL}, exclude: [{{optimizer: adm, reason: x}}]}}", "exclude[0].optimizer", "'adam'"),
        (f"{{{CELL}, exclude: [{{optimizer: adam, reason: x}}]}}", "exclude[0]", "no cell has opt"),
        (f"{{{CELL}, exclude: [{{optimizer: sgd, reason: x}}]}}", "", "all 1 are excluded"),
        (
            f"{{{CELL}, overrides: [{{when: {{optimizer: sgd}}}}]}}",
            "overrides[0]",
            "no words and no",
        ),
        (f"{{{CELL}, overrides: [{{words: {{lr: 1}}}}]}}", "overrides[0]", "its when is missing"),
        (f"{{{CELL}, include: [mine.yaml]}}", "", "include each other"),
        (f"{{{CELL}, seeds: many}}", "seeds", "expected a number of seeds, or seeds such as 3,7,9"),
        (f"{{{CELL}, ablation: fixed_gama}}", "ablation", "Did you mean 'fixed_gamma'"),
        (f"{{{CELL}, ablation: {{train: gama}}}}", "ablation.train", "unknown ablation 'gama'"),
        (
            f"{{{CELL}, exclude: [{{ablation: x, reason: y}}]}}",
            "exclude[0].ablation",
            "unknown abl",
        ),
        (f"{{{CELL}, setting_of: batch_norm}}", "setting_of", "expected words of a cell"),
        (f"{{{CELL}, tune: {{}}}}", "tune", "it is empty"),
        (f"{{{CELL}, tune: {{trials: 0}}}}", "tune.trials", "at least 1"),
        (f"{{{CELL}, tune: {{method: sobl}}}}", "tune.method", "Did you mean 'sobol'"),
        (f"{{{CELL}, tune: {{search: {{lr: 0.1}}}}}}", "tune.search.lr", "expected log:LOW:HIGH"),
        (f"{{{CELL}, ablation: {{sites: x}}}}", "ablation.sites", "expected a mask in quotes"),
        (f"{{{CELL}, ablation: {{sites: 0,1,1}}}}", "ablation", 'sites: "0,1,1", or in brackets'),
        (f"{{{CELL}, ablation: {{sites: 0,1,2}}}}", "ablation", 'sites: "0,1,1", or in brackets'),
        (f"{{{CELL}, ablation: {{sites: 011}}}}", "ablation.sites", "Without quotes YAML reads"),
        ("problem: digits_cnn\nseeds: 2\nseeds: 3", "line 3", "'seeds' comes twice, in lines 2"),
        (f"{{{CELL}, reference: {{norm: group_norm}}}}", "reference", "no cell has norm"),
        (f"{{{CELL}, reference: {{}}}}", "reference", "it is empty"),
        (f"{{{CELL}, reference: {{problem: digits_cnn}}}}", "reference.problem", "unknown key"),
        (f"{{{CELL}, normz: [none]}}", "normz", "Did you mean 'norms'"),
        (f"{{{CELL}, normz: none}}", "normz", "Did you mean 'norm'"),
        (
            "{problem: digits_cnn, optimizers: [{name: sgd, lr: 1}, {name: sgd, lr: 2}], "
            "reference: {optimizer: sgd}}",
            "reference",
            "Say more, such as optimizer: {name: sgd, lr: 1}, so that",
        ),
        (
            f"{{{CELL}, norms: [none, batch_norm], ablations: [fixed], reference: "
            "{optimizer: sgd}}",
            "reference",
            "Say more, such as norm: none, so that",
        ),
        (
            f"{{{CELL}, ablations: [fixed, {{train: fixed, sites: '0,1,1'}}, fixed_gamma], "
            "reference: {optimizer: sgd, ablation: {train: fixed, sites: '0,1,1'}}, "
            "grids: [{}, {words: {protocol.epochs: 2}}]}",
            "reference",
            "They differ in words, seeds or setting_of of their grids",
        ),
        (
            f"{{{CELL}, ablations: [fixed, fixed_gamma], reference: {{optimizer: sgd}}}}",
            "reference",
            "Say more, such as ablation: fixed, so that",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(write, text, place, message):
    """A wrong file is refused with file, line and key, what is wrong, and how to mend it."""
    file = write(text)

    with pytest.raises(UsageError, match=message) as refused:
        requests(file)
    assert str(refused.value).startswith("suite") or "include each other" in message
    assert place in str(refused.value).partition(": ")[0]


def test_included_file_is_named(write):
    """A mistake in an included file is told with that file."""
    write("problem: digits_cnn\noptimizer: adm", "other.yaml")
    file = write("include: [other.yaml]")

    with pytest.raises(UsageError, match=r"suite other\.yaml, line 2, optimizer: unknown optim"):
        requests(file)


def test_unquoted_list_in_a_block_is_a_mask(write):
    """In a block YAML reads ``sites: 0,1,1`` as text, which is a mask; so is a list."""
    file = write("problem: digits_cnn\noptimizer: sgd\nablation:\n  sites: 0,1,1")
    listed = write("{problem: digits_cnn, optimizer: sgd, ablation: {sites: [0, 1, 1]}}", "l.yaml")

    assert (0, 1, 1) == requests(file)[0].sites == requests(listed)[0].sites


def test_seeds_of_some_cells(write):
    """An override gives its cells seeds of their own; the user's win over all."""
    file = write(
        "{problem: digits_cnn, optimizers: [sgd, adam], seeds: 2, "
        "overrides: [{when: {optimizer: adam}, seeds: [4, 5, 6]}]}"
    )

    assert [2, [4, 5, 6]] == [cell.seeds for cell in requests(file)]
    assert [1, 1] == [cell.seeds for cell in requests(file, seeds=1)]


def test_repeated_cells_count_once_and_are_said_once(write):
    """A cell written three times is one cell, and named once among the repeated."""
    file = write("{problem: digits_cnn, optimizers: [sgd, sgd, adam, sgd]}")
    plan = expand(find_suite(file, CATALOGUE), CATALOGUE)

    assert ["sgd", "adam"] == [cell.optimizer for cell in plan.requests]
    assert ["digits_cnn sgd"] == list(plan.repeated)


def test_reference_is_one_row_of_each_problem(write):
    """A declared reference is found by name and values; a norm left out is the problem's."""
    file = write(
        "{title: Two, problems: [digits_cnn_bn, cifar10_3c3d_bn], optimizers: [sgd, adam], "
        "norms: [{name: group_norm, num_groups: 2}, {name: group_norm, num_groups: 4}], "
        "grids: [{norm: null}], "
        "reference: {norm: {name: group_norm, num_groups: 4}, optimizer: adam}}"
    )
    plan = expand(find_suite(file, CATALOGUE), CATALOGUE)
    other = write(
        "{problem: digits_cnn_bn, optimizer: sgd, reference: {norm: batch_norm}}", "o.yaml"
    )

    assert "Two" == plan.title
    assert [
        ("digits_cnn_bn", "adam", ("norm.num_groups=4",)),
        ("cifar10_3c3d_bn", "adam", ("norm.num_groups=4",)),
    ] == [(each.problem, each.optimizer, each.words) for each in plan.references]
    assert 1 == len(expand(find_suite(other, CATALOGUE), CATALOGUE).references)


def test_mistakes_that_yaml_or_expansion_finds_take_one_line_with_its_number(write):
    """A file that is no YAML, or whose reference is no cell, is told by line like the others."""
    for text, place in (
        ("problems: [digits_cnn\noptimizers: [sgd]", "line 2, column 11: while parsing"),
        (f"{{{CELL},\n\nreference: {{norm: group_norm}}}}", "line 3, reference: no cell has"),
    ):
        with pytest.raises(UsageError) as refused:
            requests(write(text))
        assert place in str(refused.value)
        assert "\n" not in str(refused.value)


def test_setting_of_is_said_at_the_top_in_a_grid_or_an_override(write):
    """The nearest one counts; the label of a cell says it, and its protocol."""
    file = write(
        "{problem: digits_cnn, norms: [batch_norm, group_norm], optimizer: sgd, protocol: quick, "
        "setting_of: norm=none, overrides: "
        "[{when: {norm: group_norm}, setting_of: 'norm=batch_norm, protocol=standard'}]}"
    )
    first, second = requests(file)

    assert "norm=none" == first.setting_of
    assert "norm=batch_norm, protocol=standard" == second.setting_of
    assert request_label(first) == (
        "digits_cnn sgd --norm batch_norm --protocol quick --setting-of norm=none"
    )


def test_suites_that_are_tuned_alike_are_included_together(write):
    """An included suite's tune holds for the whole; two different ones need a word on top."""
    for name, trials in (("a.yaml", 3), ("b.yaml", 3), ("c.yaml", 4)):
        write(f"{{{CELL}, tune: {{trials: {trials}}}}}", name)
    alike = write("{include: [a.yaml, b.yaml]}", "alike.yaml")
    told = write("{include: [a.yaml, c.yaml], tune: {trials: 9}}", "told.yaml")
    unlike = write("{include: [a.yaml, c.yaml]}", "unlike.yaml")

    found = [expand(find_suite(n, CATALOGUE), CATALOGUE).trials.trials for n in (alike, told)]
    assert [3, 9] == found
    with pytest.raises(UsageError, match="are tuned in different ways"):
        requests(unlike)


def test_published_schema_is_the_grammar():
    """The file that editors read is what ``python -m normbench.suites`` prints."""
    published = Path(__file__).parents[2] / "docs" / "suite.schema.json"

    assert SCHEMA == json.loads(published.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CATALOGUE.names(Suite))
def test_registered_suites_pass_their_check(name):
    """Every registered suite is written as the grammar says, with names that exist."""
    plan = expand(find_suite(name, CATALOGUE), CATALOGUE)

    assert plan.title
    assert not plan.repeated


def test_unknown_suite_answers_with_what_exists():
    """A misspelt name is answered with the nearest, and a missing file with its path."""
    with pytest.raises(UsageError, match="Did you mean 'spherical'"):
        requests("spherial")
    with pytest.raises(UsageError, match=r"nowhere\.yaml: it does not exist"):
        requests("nowhere.yaml")
