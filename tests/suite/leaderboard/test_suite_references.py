"""The reference that a suite declares is the row that its words and overrides make."""

from __future__ import annotations

import pytest

from normbench.errors import UsageError
from normbench.leaderboard.suites import suite_rows
from normbench.resolve import Request, resolve

SUITE = """
problems: [digits_cnn_bn]
norms: [batch_norm, {name: group_norm, num_groups: 4}]
optimizers: [sgd, {name: adam, lr: 0.002}]
protocol: quick
"""


@pytest.mark.parametrize(
    ("more", "request_words"),
    [
        ("reference: {norm: batch_norm, optimizer: sgd}", {}),
        (
            "reference: {norm: batch_norm, optimizer: sgd}\nwords: {protocol.epochs: 2}",
            {"words": ("protocol.epochs=2",)},
        ),
        (
            "reference: {norm: batch_norm, optimizer: sgd}\n"
            "overrides: [{when: {norm: batch_norm}, words: {problem.batch_size: 16}, seeds: 3}]",
            {"words": ("problem.batch_size=16",)},
        ),
        (
            "reference: {norm: {name: group_norm, num_groups: 4}, optimizer: adam}",
            {"norm": "group_norm", "optimizer": "adam", "words": ("norm.num_groups=4", "lr=0.002")},
        ),
        (
            "reference: {norm: batch_norm, ablation: fixed}\noptimizers: [sgd]\n"
            "ablations: [trained, fixed]",
            {"ablation": "fixed"},
        ),
        (
            "reference: {norm: batch_norm, optimizer: sgd}\n"
            'ablations: [{train: fixed_gamma, sites: "0,1,1"}, trained]',
            {},
        ),
        (
            "reference: {norm: group_norm, optimizer: adam}\n"
            "norms: [{name: group_norm, num_groups: 4}, group_norm]",
            {"norm": "group_norm", "optimizer": "adam", "words": ("lr=0.002",)},
        ),
    ],
    ids=["plain", "words", "overrides", "values", "ablation", "trained", "name alone"],
)
def test_a_declared_reference_is_its_cell_as_written(tmp_path, catalogue, more, request_words):
    """Words of the suite, of an override and of a choice are in the reference's row."""
    path = tmp_path / "mine.yaml"
    given_keys = {line.split(":")[0] for line in more.splitlines()}
    own = [line for line in SUITE.split("\n") if line.split(":")[0] not in given_keys]
    path.write_text("\n".join([*own, more]), encoding="utf-8")
    given = {"problem": "digits_cnn_bn", "optimizer": "sgd", "protocol": "quick", **request_words}
    found = suite_rows(str(path), catalogue)

    assert {resolve(Request(**given), catalogue)[0].row} == found.references
    assert found.references < found.rows


def test_words_of_the_user_are_in_every_row(tmp_path, catalogue):
    """Rows and reference are those of ``suite run`` with the words, which win over the suite's."""
    path = tmp_path / "mine.yaml"
    text = f"{SUITE}reference: {{norm: batch_norm, optimizer: sgd}}\nwords: {{protocol.epochs: 2}}"
    path.write_text(text, encoding="utf-8")
    words = ("protocol.epochs=3",)
    request = Request(
        problem="digits_cnn_bn", optimizer="sgd", protocol="quick", words=words, seeds=1
    )
    found = suite_rows(str(path), catalogue, words)

    assert {resolve(request, catalogue)[0].row} == found.references
    assert 4 == len(found.rows)
    assert not found.rows & suite_rows(str(path), catalogue).rows
    assert f"normbench suite run {path} protocol.epochs=3" == found.training
    with pytest.raises(UsageError, match="unknown section 'protocl'"):
        suite_rows(str(path), catalogue, ("protocl.epochs=3",))


def test_no_declaration_is_no_reference(tmp_path, catalogue):
    """Then the usual reference counts, which the board chooses."""
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE, encoding="utf-8")

    found = suite_rows(str(path), catalogue)

    assert (frozenset(), True) == (found.references, found.own)
    assert not suite_rows("digits_factorial", catalogue).own
