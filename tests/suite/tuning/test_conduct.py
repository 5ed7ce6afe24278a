"""A study from request to known setting, on runs whose results are made up; none is trained."""

from __future__ import annotations

import json
import math
import tomllib
from statistics import fmean

import pytest

from normbench import NormbenchError, StoreError, UsageError
from normbench.api import Launching
from normbench.errors import DamagedFileError
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.store.layout import TUNING_FOLDER
from normbench.store.untaken import untaken_studies
from normbench.tuning import Conduct, Tuning, read_study, studies

CATALOGUE = load_catalogue()


@pytest.fixture
def tune(trainer, tmp_path):
    """Return a function that tunes digits under quick, with two evaluation seeds."""

    def tuned(trials=4, optimizer="sgd", catalogue=CATALOGUE, **given):
        names = ("words", "norm", "protocol", "seeds", "config")
        request = {name: given.pop(name) for name in names if name in given}
        request = Request(
            problem="digits_cnn_bn",
            optimizer=optimizer,
            **{"protocol": "quick", "seeds": 2, **request},
        )
        tuning = Tuning(request=request, trials=trials, **given)
        launching = Launching(store=tmp_path / "store", device="cpu", track=False)
        return Conduct(tuning, catalogue, launching).run()

    return tuned


def settings_in(store):
    """Return the content of the store's files of known settings, by name."""
    files = sorted((store / "settings").iterdir())
    return {file.name: tomllib.loads(file.read_text()) for file in files}


def test_winner_is_chosen_on_validation_and_evaluated(tune, trainer):
    """The best validation score wins; the evaluation seeds are trained at it, as known."""
    report = tune(8)
    best = min(report.study.trials, key=lambda trial: abs(math.log10(trial.values["lr"])))

    assert (best, True) == (report.winner, report.complete)
    (row,) = report.evaluation.rows
    assert ("known", {0, 1}) == (row.setting, set(row.scores))
    assert best.values["lr"] == row.spec.optimizer.parameters["lr"]
    assert {100_000, 0, 1} == {spec.seed for spec in trainer.ended}


def test_tuning_again_trains_nothing(tune, trainer):
    """A study that is done gives the same report from the store alone."""
    first = tune(4)
    trainer.ended.clear()
    again = tune(4)

    assert (str(first), 0, []) == (str(again), again.trained, trainer.ended)


def test_trials_are_ordinary_runs_told_apart(tune, tmp_path):
    """A trial's run says so, sits at a tuning seed, and its row is not that of the evaluation."""
    report = tune(3)
    store = RunStore.open(tmp_path / "store")
    trial = store.get(report.winner.runs[100_000])
    (row,) = report.evaluation.rows

    assert ("trial", 100_000, True) == (
        trial.spec.setting_origin,
        trial.spec.seed,
        trial.spec.tuning,
    )
    assert trial.spec.identity == row.spec.identity
    assert trial.spec.row != row.spec.row


def test_larger_budget_trains_what_is_new_alone(tune, trainer):
    """Four trials more are four runs more, and the first ones stay as they were."""
    first = tune(4, evaluate=False)
    trainer.ended.clear()
    second = tune(8, evaluate=False)

    assert (4, first.study.trials) == (len(trainer.ended), second.study.trials[:4])
    assert first.study.id == second.study.id


def test_another_tuning_seed_adds_runs_and_means(tune, trainer):
    """Two tuning seeds are two runs a trial, compared by their mean at the epoch selected."""
    words = ("protocol.select=best",)
    one = tune(3, words=words, evaluate=False).study
    scores = {spec.fingerprint: trainer.score(spec) for spec in trainer.ended}
    trainer.ended.clear()
    study = tune(3, words=words, tuning_seeds=2, evaluate=False).study
    scores |= {spec.fingerprint: trainer.score(spec) for spec in trainer.ended}

    assert one.id == study.id
    assert [100_001] * 4 == [spec.seed for spec in trainer.ended]
    for trial in study.trials:
        assert pytest.approx(fmean(scores[run] for run in trial.runs.values())) == trial.score


def test_interrupted_study_ends_as_if_it_had_not_been(tune, trainer, tmp_path):
    """Stopped in the middle and tuned again, nothing is drawn anew or run twice."""
    trainer.outcome = lambda spec: "interrupt" if len(trainer.ended) == 3 else "finished"
    with pytest.raises(KeyboardInterrupt):
        tune(6)
    (name,) = studies(RunStore.open(tmp_path / "store"))
    drawn = [trial.values for trial in read_study(RunStore.open(tmp_path / "store"), name).trials]
    trainer.outcome = lambda _spec: "finished"
    report = tune(6)

    assert drawn == [trial.values for trial in report.study.trials]
    runs = [spec.fingerprint for spec in trainer.ended]
    assert (9, 9) == (len(runs), len(set(runs)))


def test_diverged_trial_counts_as_worst(tune, trainer):
    """A trial that diverges at one of its seeds comes after all others."""
    trainer.outcome = lambda spec: (
        "diverged" if spec.seed == 100_001 and spec.optimizer.number("lr") > 0.1 else "finished"
    )
    study = tune(8, tuning_seeds=2, evaluate=False).study
    spoiled = [trial for trial in study.trials if trial.values["lr"] > 0.1]

    assert study.diverged == len(spoiled) > 0
    assert {trial.number for trial in spoiled} == {
        trial.number for trial in study.ranked[-len(spoiled) :]
    }
    assert study.best.values["lr"] < 0.1


def test_equal_trials_go_to_the_lower_number(tune, trainer):
    """Of trials with one score the first wins."""
    trainer.score = lambda _spec: 0.5

    assert 1 == tune(5).winner.number


def test_all_diverged_is_no_winner(tune, trainer, tmp_path):
    """Nothing is kept or evaluated, the message says what to search, and nobody asks again."""
    trainer.outcome = lambda _spec: "diverged"
    report = tune(3)

    assert (None, None, False) == (report.winner, report.evaluation, report.complete)
    assert "Search smaller values" in report.problem
    assert "No winner" in str(report)
    assert not (tmp_path / "store" / "settings").exists()
    assert [] == untaken_studies(RunStore.open(report.store))


def test_failed_trial_is_tried_again_or_skipped(tune, trainer):
    """A failure is no score: the choice waits for it unless it is to be skipped."""
    trainer.outcome = lambda spec: "failed" if spec.optimizer.number("lr") > 3 else "finished"
    report = tune(8)
    assert "1 of 8 trials have no result yet (7)" in report.problem
    assert ["trial 7, seed 100000: made to fail"] == list(report.messages)
    assert tune(8, skip_failed=True).winner is not None
    trainer.outcome = lambda _spec: "finished"

    assert ("", True) == (tune(8).problem, tune(8).complete)


def test_known_setting_is_found_by_later_runs(tune, tmp_path):
    """run with that store takes the setting and says known; under other rules it takes none."""
    report = tune(4, words=("weight_decay=0.001", "protocol.epochs=3"))
    catalogue = CATALOGUE.with_store(tmp_path / "store")
    request = Request(problem="digits_cnn", optimizer="sgd", norm="batch_norm", protocol="quick")
    same = resolve(Request(**{**vars(request), "words": ("protocol.epochs=3",)}), catalogue)[0]
    other = resolve(request, catalogue)[0]

    assert ("known", "default") == (same.setting_origin, other.setting_origin)
    assert {"lr": report.winner.values["lr"], "weight_decay": 0.001} == same.optimizer.parameters


def test_known_setting_of_plain_rules_is_marked_under_changed_ones(tune, tmp_path):
    """What was tuned under the protocol as written holds elsewhere, and the row says so."""
    tune(4)
    catalogue = CATALOGUE.with_store(tmp_path / "store")
    words = ("protocol.validation_share=0.2",)
    request = Request(problem="digits_cnn_bn", optimizer="sgd", protocol="quick", words=words)

    assert "known, rules changed" == resolve(request, catalogue)[0].setting_origin


def test_smaller_budget_leaves_the_known_setting(tune, tmp_path):
    """The setting of a larger budget stays; the smaller one's winner is evaluated as given."""
    large = tune(8)
    held = settings_in(tmp_path / "store")
    small = tune(1)

    assert large.winner != small.winner
    assert held == settings_in(tmp_path / "store")
    assert (True, False) == (large.kept.current, small.kept.current)
    assert "larger budget, 8 trials" in small.kept.words
    assert "given" == small.evaluation.rows[0].setting


def test_larger_budget_replaces_the_known_setting(tune, tmp_path):
    """One file a cell: the larger budget's, and it says what it replaced."""
    tune(2)
    report = tune(8)
    (content,) = settings_in(tmp_path / "store").values()

    assert {"lr": report.winner.values["lr"]} == content["setting"][0]["values"]
    assert 8 == content["origin"]["trials"]
    assert "in place of that of 2 trials" in report.kept.words


def test_earlier_known_setting_has_no_part_in_a_trial(tune, trainer, tmp_path):
    """What one study fixed does not leak into another, whose default is the optimizer's."""
    catalogue = CATALOGUE.with_store(tmp_path / "store")
    tune(2, optimizer="momentum", words=("momentum=0.5",))
    first = len(trainer.ended)
    tune(3, optimizer="momentum", catalogue=catalogue)

    assert {0.5} == {spec.optimizer.parameters["momentum"] for spec in trainer.ended[:first]}
    assert {0.9} == {spec.optimizer.parameters["momentum"] for spec in trainer.ended[first:]}
    assert 0.01 in {spec.optimizer.parameters["lr"] for spec in trainer.ended[first:]}


def test_norm_and_ablation_are_searched_and_kept_with_the_cell(tune, tmp_path):
    """The winner's norm parameters and ablation are part of the cell that its setting is for."""
    report = tune(
        4,
        norm="group_norm",
        search=("norm.num_groups=choice:2,4", "ablation.scale_init=choice:0.5,2"),
    )
    values = report.winner.values
    catalogue = CATALOGUE.with_store(tmp_path / "store")
    words = [f"{word}={value}" for word, value in values.items() if "." in word]
    request = Request(problem="digits_cnn", optimizer="sgd", norm="group_norm", protocol="quick")
    found = resolve(Request(**{**vars(request), "words": words}), catalogue)[0]

    assert ("known", values["lr"]) == (found.setting_origin, found.optimizer.parameters["lr"])
    assert "default" == resolve(request, catalogue)[0].setting_origin
    assert "known" == report.evaluation.rows[0].setting


def test_impossible_trial_is_refused_before_training(tune, trainer):
    """A value that fits no network is an error that names its trial, and nothing is trained."""
    with pytest.raises(UsageError, match=r"trial 1, .*num_groups=3 does not divide"):
        tune(4, norm="group_norm", search=("norm.num_groups=choice:2,3",))

    assert [] == trainer.ended


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"trials": 0}, "asks for no trial"),
        ({"tuning_seeds": 0}, "--tuning-seeds 0"),
        ({"words": ("protocol.validation_share=0",)}, "protocol.validation_share"),
        ({"seeds": [100_000]}, "kept for tuning"),
        ({"seeds": 100_000}, "kept for tuning"),
        ({"words": ("lr=0.1",)}, "nothing is left to search"),
        ({"method": "gird"}, "Did you mean 'grid'"),
        ({"method": "grid", "search": ("lr=choice:1,2",), "trials": 3}, "expected 2"),
        (
            {"search": ("lr=choice:0.001,0.1,0.5",), "trials": 18},
            "only 3 different settings. Give --trials 3, or --method grid",
        ),
        (
            {"method": "tpe", "search": ("lr=none", "weight_decay=choice:0,1"), "trials": 3},
            "only 2 different settings. Give --trials 2, or",
        ),
    ],
)
def test_wrong_request_is_refused_before_training(tune, trainer, given, complaint):
    """Whatever can be known to be wrong is said before the first run."""
    with pytest.raises(UsageError, match=complaint):
        tune(**given)

    assert [] == trainer.ended


def test_whole_grid_is_the_default_budget(tune):
    """Choices alone say how many trials a grid has."""
    search = ("lr=grid:1,0.1", "weight_decay=choice:0,0.1,0.2")

    assert 6 == len(tune(None, method="grid", search=search, evaluate=False).study.trials)


def test_every_setting_is_the_default_budget_of_a_small_space(tune):
    """Where there are fewer than 20 settings each is one trial, and the known setting counts so."""
    report = tune(None, search=("lr=choice:0.001,0.1,0.5",), evaluate=False)

    assert [0.001, 0.1, 0.5] == sorted(trial.values["lr"] for trial in report.study.trials)
    assert 3 == tomllib.loads(report.kept.path.read_text())["origin"]["trials"]


@pytest.mark.parametrize("left", [(), ("runs", "locks")])
def test_half_made_store_is_completed(tune, tmp_path, left):
    """An empty folder, or one whose making was cut short, becomes the store of the study."""
    root = tmp_path / "store"
    for name in ("", *left):
        (root / name).mkdir()
    (root / ".store.json.0123abcd.tmp").write_text("{", encoding="utf-8")

    assert tune(2).complete
    assert 1 == len(studies(RunStore.open(root)))


def test_sequential_method_draws_with_the_results_so_far(tune, trainer, monkeypatch):
    """Each call gets all trials before, complete; a failed one stops the study."""
    seen = []

    def propose(space, *, metric, trials, budget, draw_seed):
        seen.append([trial.score for trial in trials])
        return [{"lr": 0.5 / (1 + len(trials))}]

    monkeypatch.setattr("normbench.tuning.tpe.propose", propose)
    study = tune(3, method="tpe", evaluate=False).study
    assert [0, 1, 2] == [len(scores) for scores in seen]
    trainer.outcome = lambda _spec: "failed"

    with pytest.raises(NormbenchError, match="trial 4 has no result"):
        tune(5, method="tpe", evaluate=False)
    trainer.outcome = lambda _spec: "finished"
    assert study.trials == tune(5, method="tpe", evaluate=False).study.trials[:3]
    assert all(score is not None for scores in seen for score in scores)


def test_record_is_written_before_training(tune, trainer, tmp_path):
    """A study interrupted at its first run is on record with all its trials and runs."""
    trainer.outcome = lambda _spec: "interrupt"
    with pytest.raises(KeyboardInterrupt):
        tune(5)
    store = RunStore.open(tmp_path / "store")
    study = read_study(store, studies(store)[0][:6])

    assert (5, False, None) == (len(study.trials), study.complete, study.best)
    assert all(store.get(run) for trial in study.trials for run in trial.runs.values())
    assert "lr=log:0.001:10" == str(study.space)


def test_damaged_files_are_named(tune, tmp_path):
    """A broken record or settings file is an error that names it."""
    tune(2)
    store = RunStore.open(tmp_path / "store")
    (file,) = (store.root / "settings").iterdir()
    file.write_text("[origin", encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"holds no known settings .*reads \((?!.*Error)"):
        tune(2)
    file.unlink()
    record = store.root / TUNING_FOLDER / f"{studies(store)[0]}.json"
    record.write_text(json.dumps({"schema": 99}), encoding="utf-8")

    with pytest.raises(StoreError, match="schema 99"):
        tune(2)
