"""What a study chose and what became of it, on runs whose results are made up."""

from __future__ import annotations

import shlex

import pytest

from normbench.api import Launching
from normbench.cli.group import cli
from normbench.plugins import load_catalogue
from normbench.resolve import Request
from normbench.store import RunStore
from normbench.store.untaken import untaken_studies
from normbench.tuning import Conduct, Tuning, read_study
from normbench.tuning.choice import choice_of
from normbench.tuning.report import write_report

CATALOGUE = load_catalogue()


@pytest.fixture
def conduct(trainer, tmp_path):
    """Return a function that brings a study of digits to work."""

    def made(trials=3, norm=None, seeds=2, words=(), **given):
        request = Request(
            problem="digits_cnn_bn",
            optimizer="sgd",
            norm=norm,
            protocol="quick",
            seeds=seeds,
            words=words,
        )
        tuning = Tuning(request=request, trials=trials, **given)
        launching = Launching(store=tmp_path / "a store", device="cpu", track=False)
        return Conduct(tuning, CATALOGUE, launching)

    return made


def chosen(report):
    """Return what the store says of a report's study."""
    store = RunStore.open(report.store)
    return choice_of(store, read_study(store, report.study.id))


def trained_elsewhere(study, trainer):
    """Return the store in which somebody else trained all trials that can be drawn."""
    drawn = study.draw()
    store = study.enqueue(drawn)
    trainer(drawn.runs, CATALOGUE, Launching(store=store.root))
    return store


def dry_run(command):
    """Return what a printed command does when it is typed with ``--dry-run``."""
    from click.testing import CliRunner

    words = shlex.split(command)[1:]
    return CliRunner().invoke(cli, [*words, "--dry-run"])


@pytest.mark.parametrize(("default", "behind"), [(0.5, False), (0.95, True), (0.9, False)])
def test_a_winner_behind_the_default_setting_is_told(conduct, trainer, default, behind):
    """It is chosen, since the default is outside the budget, but not without a word."""
    usual = conduct().plan.base.optimizer.number("lr")
    trainer.score = lambda spec: default if spec.optimizer.number("lr") == usual else 0.9
    report = conduct(evaluate=False).run()
    said = "The default setting did better on validation than the winner: 95.00 % against 90.00 %"

    assert report.winner is not None
    places = (str(report), "\n".join(chosen(report).lines), report.to_dict()["behind_default"])
    assert [behind] * 3 == [said in place for place in places]


def test_an_older_winner_is_superseded(conduct, trainer):
    """A larger budget takes the cell, and nobody asks again before there are other seeds."""
    first = conduct(3).run()
    assert ("known", True) == (chosen(first).known, chosen(first).held.current)
    conduct(4, draw_seed=7).run()

    assert "superseded" == chosen(first).known
    assert any("It is not the known setting: " in line for line in chosen(first).lines)
    assert "lr=" in chosen(first).command
    assert [] == untaken_studies(RunStore.open(first.store))
    store = trained_elsewhere(conduct(4, draw_seed=7, tuning_seeds=2), trainer)
    assert 1 == len(untaken_studies(store))


def test_the_command_of_a_winner_names_what_the_known_setting_does_not(conduct):
    """Searched words of the norm stand in it, the optimizer's are known; it can be run."""
    search = ["norm.num_groups=choice:2,4", "lr=choice:0.5,1"]
    report = conduct(4, norm="group_norm", search=search).run()
    command = report.choice.command

    assert f"norm.num_groups={report.winner.values['norm.num_groups']}" in command
    assert "lr=" not in command
    assert f"Train it with: {command}" in chosen(report).lines
    # It has just been trained.
    assert "Train it with" not in str(report)
    assert "known" in dry_run(command).stdout


def test_trials_that_somebody_else_trained_wait_for_tune(conduct, trainer):
    """The winner is told and not kept; the printed command keeps it."""
    study = conduct(3)
    store = trained_elsewhere(study, trainer)
    choice = choice_of(store, read_study(store, study.plan.id))

    assert "not kept" == choice.known
    assert "It is not kept as the known setting yet." in choice.lines
    assert choice.tune.startswith("normbench tune digits_cnn_bn sgd --protocol quick --seeds 2")
    assert 0 == dry_run(choice.tune).exit_code


def test_a_study_that_is_not_all_drawn_has_no_winner(conduct, trainer, monkeypatch):
    """Where others trained the first trial, the best so far is no choice and tune has to go on."""
    monkeypatch.setattr("normbench.tuning.tpe.propose", lambda *_, **__: [{"lr": 0.5}])
    study = conduct(3, method="tpe")
    store = trained_elsewhere(study, trainer)
    choice = choice_of(store, read_study(store, study.plan.id))

    assert (None, "1 of 3 trials are drawn. Tune again to go on.") == (
        choice.winner,
        choice.problem,
    )
    assert f"Go on with: {choice.tune}" in choice.lines
    assert choice.tune in untaken_studies(store)[0]


def test_the_report_names_winner_edges_and_setting(conduct, tmp_path):
    """What is said at the end of a tuning stands in its Markdown as well."""
    report = conduct(search=["lr=grid:0.1,0.5,1"], method="grid", trials=3).run()
    write_report(report.study, tmp_path / "report", report.choice)
    text = (tmp_path / "report" / "report.md").read_text()

    assert "Winner: trial 3, lr=1" in text
    assert "Edge: lr=1.0 lies at the upper edge" in text
    assert f"Known setting: {report.kept.path}" in text
    assert f"Train it with: `{report.choice.command}`" in text


def test_a_study_that_learned_nothing_is_said_to_have_no_winner(conduct, trainer):
    """Trials that never beat the worst score are no choice; other seeds are a question anew."""
    trainer.score = lambda _spec: 0.1
    report = conduct(3).run()
    before = untaken_studies(RunStore.open(report.store))
    store = trained_elsewhere(conduct(3, tuning_seeds=2), trainer)

    assert (None, None, False) == (report.winner, report.kept, report.complete)
    assert "none of 3 trials did better than the worst score, 0.1" in report.problem
    assert "" == chosen(report).known
    assert (0, 1) == (len(before), len(untaken_studies(store)))
