"""All cells of a suite tuned with one budget, on runs whose results are made up."""

from __future__ import annotations

import json
import math

import pytest

from normbench import UsageError
from normbench.api import Launching
from normbench.forecast.trials import trial_cells
from normbench.overrides import read_yaml
from normbench.plugins import load_catalogue
from normbench.store import RunStore
from normbench.suites import as_known_now, expand, find_suite
from normbench.suites.files import Trials
from normbench.suites.schema import METHODS as WRITTEN
from normbench.tuning.methods import METHODS
from normbench.tuning.together import Together

CATALOGUE = load_catalogue()
SUITE = """
protocol: quick
problems: [digits_cnn_bn]
norms: [batch_norm, group_norm]
optimizers: [sgd, {name: adam, lr: 0.002}]
seeds: 2
"""


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def together(tmp_path, store, trainer):
    """Return a function that brings the studies of a suite to work, on a catalogue of its store."""

    def made(text=SUITE, **given):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        catalogue = CATALOGUE.with_store(store)
        plan = expand(find_suite(str(path), catalogue), catalogue)
        trials = plan.trials or Trials(**{"trials": 4, **given})
        launching = Launching(store=store, device="cpu", track=False)
        return Together(plan.requests, trials, catalogue, launching)

    return made


def labels(report):
    study = report.study
    return study.norm_label, study.optimizer, len(study.trials)


def test_every_cell_is_tuned_once_with_the_same_budget(together, trainer):
    """All trials are one launch, the suite's seeds another, at the winners as known settings."""
    found = together().run()
    rows = {(row.spec.norm.name, row.spec.optimizer.name): row for row in found.evaluation.rows}

    assert [("batch_norm", "sgd", 4), ("group_norm", "sgd", 4)] == list(map(labels, found.reports))
    assert (2, found.trained, True) == (trainer.launches, len(trainer.ended), found.complete)
    for report in found.reports:
        best = min(report.study.trials, key=lambda trial: abs(math.log10(trial.values["lr"])))
        row = rows[report.study.norm, "sgd"]
        assert (best, "known") == (report.winner, row.setting)
        assert best.values["lr"] == row.spec.optimizer.number("lr")


def test_what_the_suite_fixes_is_not_searched_and_trained_as_it_is(together):
    """adam's only searched word is fixed: no study, a reason, and its seeds all the same."""
    found = together().run()
    adam = [row for row in found.evaluation.rows if row.spec.optimizer.name == "adam"]

    assert ["digits_cnn_bn adam --norm batch_norm --protocol quick lr=0.002"] == [
        label for label in found.untuned if "batch_norm" in label
    ]
    assert {"the suite fixes all that would be searched"} == set(found.untuned.values())
    assert [("given", 2), ("given", 2)] == [(row.setting, row.n) for row in adam]


def test_tuning_a_suite_again_trains_nothing(together, trainer):
    """Studies that are done, and seeds that are trained, are kept."""
    first = together().run()
    trainer.ended.clear()
    again = together().run()

    assert ([], 0) == (trainer.ended, again.trained)
    assert list(map(labels, first.reports)) == list(map(labels, again.reports))


def test_cells_without_a_winner_keep_no_setting_and_train_no_seeds(together, trainer, store):
    """What diverged everywhere, or never beat the worst score, stays out; the others go on."""
    trainer.outcome = lambda spec: (
        "diverged" if spec.norm.name == "group_norm" and spec.tuning else "finished"
    )
    found = together().run()

    assert [True, False] == [report.winner is not None for report in found.reports]
    assert "no known setting is kept" in found.reports[1].problem
    assert not found.complete
    assert 1 == len(list((store / "settings").iterdir()))
    tuned = {
        row.spec.norm.name for row in found.evaluation.rows if row.spec.optimizer.name == "sgd"
    }
    assert {"batch_norm"} == tuned


def test_trials_at_the_worst_score_make_no_known_setting(together, trainer, store):
    """Finished runs that learned nothing are nothing to choose among."""
    trainer.score = lambda _spec: 0.1
    found = together().run()

    assert [None, None] == [report.winner for report in found.reports]
    assert "none of 4 trials did better than the worst score, 0.1" in found.reports[0].problem
    assert not (store / "settings").exists()


def test_a_sequential_method_draws_for_all_cells_at_once(
    together, trainer, monkeypatch, tmp_path, store
):
    """Each round has a trial of every cell whose trials have results; a plan counts them all."""
    from dataclasses import replace

    from normbench.tuning import methods

    def one_more(space, *, metric, trials, budget, draw_seed):
        return [{"lr": round(0.1 * (len(trials) + 1), 1)}]

    method = replace(METHODS["tpe"], target="sequential_stand_in:one_more")
    monkeypatch.setattr(type(method), "load", lambda _self: one_more)
    monkeypatch.setitem(methods.METHODS, "tpe", method)
    found = together(method="tpe", trials=3).run(evaluate=False)

    assert 3 == trainer.launches
    assert [3, 3] == [len(report.study.trials) for report in found.reports]
    assert found.evaluation is None
    trainer.outcome = lambda spec: "failed" if spec.norm.name == "group_norm" else "finished"
    more = together(method="tpe", trials=5).run(evaluate=False)
    assert [5, 4] == [len(report.study.trials) for report in more.reports]
    assert "1 of 4 trials have no result yet" in more.reports[1].problem
    plan = expand(find_suite(str(tmp_path / "mine.yaml"), CATALOGUE), CATALOGUE)
    plan = replace(plan, trials=Trials(trials=7, method="tpe"))
    # Trial 1 is the default setting as well.
    cells = trial_cells(plan, CATALOGUE.with_store(store), RunStore.open(store))
    assert [(7, 5), (7, 3)] == [(len(cell.runs), cell.counts["done"]) for cell in cells]


def test_search_words_are_for_all_optimizers_that_have_them_or_for_one(together):
    """A word with an optimizer's name is for it alone, and a fixed word is left fixed."""
    suite = SUITE.replace("{name: adam, lr: 0.002}", "adam, {name: momentum, momentum: 0.8}")
    words = ("lr=choice:0.1,0.2", "adam.lr=choice:0.3,0.4", "momentum.momentum=choice:0.5,0.6")
    found = together(suite, search=words, trials=2)
    spaces = {
        m.conduct.plan.base.optimizer.name: m.conduct.plan.space for m in found.members.values()
    }

    assert ["lr=choice:0.1,0.2", "lr=choice:0.3,0.4"] == [
        str(spaces[n]["lr"]) for n in ("sgd", "adam")
    ]
    assert ["lr"] == [axis.word for axis in spaces["momentum"]]


@pytest.mark.parametrize(
    ("search", "complaint"),
    [
        ("lion.lr=none", "unknown optimizer of this suite 'lion'"),
        ("rate=none", "unknown parameter to search with this suite 'rate'"),
        ("norm.num_groups=choice:2,4", "the cells of a suite have the norms that it lists"),
    ],
)
def test_a_search_that_fits_no_cell_is_refused(together, search, complaint):
    """A word that no optimizer of the suite has is told before anything is trained."""
    with pytest.raises(UsageError, match=complaint):
        together(search=(search,))


def test_seeds_that_cannot_be_trained_are_refused_before_the_trials(together):
    """What would be wrong with the suite's own runs after the tuning is said before it."""
    with pytest.raises(UsageError, match="kept for tuning"):
        together(SUITE.replace("seeds: 2", "seeds: [100000]"))


def test_two_studies_of_one_cell_are_refused(together):
    """A cell has one known setting, so that it cannot be tuned with two different fixed words."""
    optimizers = "[{name: momentum, momentum: 0.8}, {name: momentum, momentum: 0.9}]"
    suite = SUITE.replace("[sgd, {name: adam, lr: 0.002}]", optimizers)

    with pytest.raises(UsageError, match="are one cell with different words of its optimizer"):
        together(suite)


def test_setting_of_takes_what_the_same_suite_tunes(together, store):
    """A cell with setting_of is not tuned; its seeds are trained at the other's winner."""
    suite = SUITE + "tune: {trials: 3}\n"
    suite += "overrides: [{when: {norm: group_norm, optimizer: sgd}, setting_of: norm=batch_norm}]"
    found = together(suite).run()
    (tuned,) = found.reports
    rows = {(row.spec.norm.name, row.spec.optimizer.name): row for row in found.evaluation.rows}

    assert "it takes the setting of norm=batch_norm" in found.untuned.values()
    assert "of norm=batch_norm" == rows["group_norm", "sgd"].setting
    assert tuned.winner.values["lr"] == rows["group_norm", "sgd"].spec.optimizer.number("lr")


def test_a_cell_that_waits_for_a_lost_winner_is_left_out(together, trainer):
    """Where the other cell found none, the rest of the suite is trained all the same."""
    trainer.outcome = lambda spec: "diverged" if spec.tuning else "finished"
    suite = SUITE + "overrides: [{when: {norm: group_norm}, setting_of: norm=batch_norm}]"
    found = together(suite).run()
    rows = [(row.spec.norm.name, row.spec.optimizer.name) for row in found.evaluation.rows]

    assert [("batch_norm", "adam")] == rows
    assert any("Its seeds are left out" in reason for reason in found.untuned.values())


def test_the_same_cell_with_other_seeds_is_tuned_once_and_trained_at_all(together):
    """Two grids may ask for one cell at different seeds."""
    grid = "grids: [{norm: batch_norm, norms: null, optimizers: [sgd], seeds: [5, 7]}]"
    found = together(SUITE + grid.replace("norm: batch_norm, norms: null", "norms: [batch_norm]"))
    rows = found.run().evaluation.rows

    assert 2 == len(found.members)
    assert {0, 1, 5, 7} == {s for r in rows if r.spec.norm.name == "batch_norm" for s in r.scores}


def test_before_tuning_a_cell_that_waits_for_a_setting_stands_alone(tmp_path):
    """A look at such a suite resolves the cell at its own setting; without tune it is an error."""
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE + "tune: {trials: 3}\nsetting_of: norm=batch_norm\n", encoding="utf-8")
    plan = expand(find_suite(str(path), CATALOGUE), CATALOGUE)

    assert {"norm=batch_norm"} == {request.setting_of for request in plan.requests}
    assert {None} == {request.setting_of for request in as_known_now(plan, CATALOGUE).requests}


def test_trials_are_cells_of_the_plan(together, tmp_path, store):
    """Every trial and the default setting of each study are counted, done or not."""
    suite = SUITE + "tune: {trials: 3, tuning_seeds: 2}\n"
    work = together(suite)
    catalogue = CATALOGUE.with_store(store)
    plan = expand(find_suite(str(tmp_path / "mine.yaml"), catalogue), catalogue)
    before = trial_cells(plan, catalogue, None)
    work.run(evaluate=False)
    after = trial_cells(plan, catalogue, RunStore.open(store))

    assert [(8, 0), (8, 0)] == [(len(cell.runs), cell.counts["done"]) for cell in before]
    assert [(8, 8), (8, 8)] == [(len(cell.runs), cell.counts["done"]) for cell in after]
    assert all(cell.trials for cell in before)


def test_the_record_holds_the_command_that_takes_the_winner(together, store):
    """Whoever trains the trials alone can say how to go on."""
    together().enqueue()
    records = [json.loads(path.read_text()) for path in (store / "tuning").glob("*.json")]

    assert [4, 4] == [record["budget"] for record in records]
    assert all(record["commands"]["tune"][:2] == ["normbench", "tune"] for record in records)


def test_the_grammar_knows_the_methods():
    """What a suite may name as a method is what there is."""
    assert tuple(METHODS) == WRITTEN


def test_tune_is_read_as_written(tmp_path):
    """The key's values are those of the command's options."""
    path = tmp_path / "mine.yaml"
    text = "tune: {trials: 8, method: grid, search: {lr: 'log:0.1:1', adam.beta1: none}}"
    path.write_text(f"{SUITE}{text}\n", encoding="utf-8")
    found = find_suite(str(path), CATALOGUE).trials

    assert 8 == read_yaml(path)["tune"]["trials"]
    search = ("lr=log:0.1:1", "adam.beta1=none")
    assert Trials(trials=8, method="grid", search=search) == found
    assert "8 trials of each cell, method grid, search lr=log:0.1:1 adam.beta1=none" == str(found)
