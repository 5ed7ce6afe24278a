"""Settings in tables are called by what is known now, not by what was known at their training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from normbench import Setting, UsageError
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.choosing import find_row
from normbench.leaderboard.grouping import Wanted, chosen_rows
from normbench.leaderboard.reading import ReadRow, ReadRun
from normbench.resolve import Request, resolve
from normbench.store import RunState

GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
BETTER = (0.953, 0.967, 0.961, 0.979, 0.944, 0.958)


@pytest.fixture
def tuned(catalogue):
    """Return a function that gives a catalogue with one known setting of a norm and sgd."""

    def made(norm="batch_norm", **values):
        setting = Setting(
            problem="digits_cnn",
            norm=norm,
            optimizer="sgd",
            protocol="quick",
            values=values,
            source="a test",
            origin="known",
        )
        found = catalogue.without_settings()
        found.add_settings([setting])
        return found

    return made


@pytest.fixture
def trained():
    """Return a function that gives the row that a request makes, as the store would."""

    def made(catalogue, *words, scores=GOOD, norm="batch_norm", **more):
        request = Request(problem="digits_cnn_bn", optimizer="sgd", norm=norm, protocol="quick")
        spec = resolve(Request(**{**vars(request), "words": words, **more}), catalogue)[0]
        runs = {
            seed: ReadRun(f"{spec.row}{seed}", RunState.FINISHED, score, 1.0)
            for seed, score in enumerate(scores)
        }
        return ReadRow(
            row=spec.row,
            problem=spec.problem.name,
            norm=spec.norm.name,
            norm_label=spec.norm_label,
            optimizer=spec.optimizer.name,
            setting=json.loads(spec.to_json())["identity"]["optimizer"]["parameters"],
            setting_origin=spec.setting_origin,
            protocol=spec.protocol.name,
            deviations=spec.deviations,
            text=spec.to_json(),
            runs=runs,
        )

    return made


def origins(rows, reader, catalogue):
    found = chosen_rows(reader(rows), catalogue, Wanted())
    return [row.setting_origin for row in found]


def test_an_older_winner_is_superseded_and_the_newer_is_the_reference(reader, tuned, trained):
    """Of two rows trained as known, the one with today's values stands for the cell."""
    rows = [trained(tuned(lr=0.3), scores=BETTER), trained(tuned(lr=0.2))]
    (board,) = make_boards(reader(rows), tuned(lr=0.2), Wanted())

    assert ["known", "known"] == [row.setting_origin for row in rows]
    assert ["known, superseded", "known"] == [e.row.setting_origin for e in board.entries]
    assert rows[1].row == board.reference.row.row
    assert "declared: batch_norm with sgd, of 2 settings the known one" == board.reference.why
    assert (rows[0],) == tuple(replace(o, setting_origin="known") for o in board.reference.others)
    assert f"--reference {rows[0].row[:8]}" in " ".join(board.notes)


def test_norms_take_the_setting_that_is_known_now(reader, tuned, trained):
    """A cell tuned twice is the base of its table, at the later setting."""
    now = tuned(lr=0.2)
    rows = [trained(tuned(lr=0.3), scores=BETTER), trained(now)]
    rows.append(trained(now, norm="group_norm", scores=BETTER))
    (found,) = make_ablations(reader(rows), now, Wanted(), "norm", None)

    assert "batch_norm" == found.base
    assert "sgd: lr=0.2 (known), not lr=0.3 (known, superseded)" in found.left_out[0]
    assert pytest.approx(sum(BETTER) / 6 - sum(GOOD) / 6) == found.table.main[0].difference


def test_values_that_became_the_known_setting_are_called_known(reader, tuned, trained):
    """Given by hand first, or the defaults, and found by tuning later: one row, and known."""
    catalogue = tuned(lr=0.2).without_settings()
    rows = [trained(catalogue, "lr=0.2"), trained(catalogue)]

    assert ["given", "default"] == [row.setting_origin for row in rows]
    assert ["given", "default"] == origins(rows, reader, catalogue)
    assert ["known", "default"] == origins(rows, reader, tuned(lr=0.2))
    assert ["given", "known"] == origins(rows, reader, tuned(lr=0.1))


def test_what_no_setting_is_known_of_keeps_its_origin(reader, tuned, trained):
    """Rows of another store keep the word they came with; so do changed and borrowed settings."""
    older = trained(tuned(lr=0.3))
    changed = trained(tuned(lr=0.3, weight_decay=0.01), "lr=0.4")

    assert ["known"] == origins([older], reader, tuned().without_settings())
    assert "known + given lr=0.4" == changed.setting_origin
    assert ["known + given lr=0.4"] == origins([changed], reader, tuned(lr=0.2))
    borrowed = trained(tuned(lr=0.2), norm="group_norm", setting_of="norm=batch_norm")
    assert ["of norm=batch_norm"] == origins([borrowed], reader, tuned("group_norm", lr=0.2))


def test_a_known_setting_without_results_is_said(reader, tuned, trained):
    """The defaults are the reference meanwhile; with older winners alone there is none."""
    default = trained(tuned(lr=0.3).without_settings())
    older = [trained(tuned(lr=lr)) for lr in (0.3, 0.4)]
    now = tuned(lr=0.2)
    (meanwhile,) = make_boards(reader([default, *older]), now, Wanted())

    assert default.row == meanwhile.reference.row.row
    assert "tuned last there has no results here" in meanwhile.reference.why
    with pytest.raises(UsageError, match="none of them is the one that is known now"):
        make_ablations(reader(older), now, Wanted(), "norm", None)


def test_a_base_of_several_settings_says_so(reader, tuned, trained):
    """``--base`` with a norm that no row stands for names its rows, not an unknown norm."""
    catalogue = tuned(lr=0.2).without_settings()
    rows = [trained(catalogue, f"lr={lr}") for lr in (0.3, 0.4)]
    rows.append(trained(catalogue, norm="group_norm"))

    with pytest.raises(UsageError) as raised:
        make_ablations(reader(rows), catalogue, Wanted(), "norm", "batch_norm")
    assert "norm batch_norm cannot be the base: with sgd it has 2 settings" in str(raised.value)
    assert rows[0].row[:8] in str(raised.value)
    assert "Other bases: group_norm." in str(raised.value)


def test_words_of_a_row_mean_the_plain_norm_at_its_own_setting(reader, tuned, trained):
    """``batch_norm+sgd`` is not the ablated row, and of several settings the declared one."""
    catalogue = tuned(lr=0.2).without_settings()
    plain, given = trained(catalogue), trained(catalogue, "lr=0.3")
    ablated = trained(catalogue, "ablation.train=fixed_gamma")

    assert plain is find_row([ablated, plain], "batch_norm+sgd")
    (board,) = make_boards(reader([ablated, plain]), catalogue, Wanted())
    assert plain.row == board.reference.row.row
    assert plain is find_row([ablated, given, plain], "norm=batch_norm+sgd")
    assert ablated is find_row([ablated, plain], ablated.norm_label)
    assert given is find_row([ablated, given, plain], "batch_norm+lr=0.3")
    with pytest.raises(UsageError, match="'sgd' names 2 rows"):
        find_row([ablated, plain], "sgd")


def test_label_has_one_order(catalogue):
    """What trains stands before the mask, whether the spec was just made or read from a file."""
    words = ("ablation.sites=0,1,1", "ablation.train=fixed_gamma", "ablation.scale_init=0.5")
    request = Request(problem="digits_cnn_bn", optimizer="sgd", words=words)
    spec = resolve(request, catalogue)[0]

    assert "batch_norm [fixed_gamma sites=011 scale_init=0.5]" == spec.norm_label
    assert spec.norm_label == type(spec).from_json(spec.to_json()).norm_label
