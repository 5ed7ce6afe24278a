"""Method tpe: what it proposes, that nothing but its arguments matters, and what it refuses."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

import pytest

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.parameters import Search, Value
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.setting_files import SETTINGS_FOLDER, setting_text
from normbench.tuning import sobol
from normbench.tuning.methods import METHODS
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Trial
from normbench.tuning.tpe import STARTUP_TRIALS, propose

pytest.importorskip("optuna", reason="method tpe needs the extra optuna")

SPACE = Space(
    (
        Axis(word="lr", search=Search(scale="log", low=0.001, high=10.0)),
        Axis(word="momentum", search=Search(scale="linear", low=0.0, high=0.99)),
        Axis(word="steps", search=Search(scale="int", low=1, high=20)),
        Axis(word="kind", search=Search(scale="choice", choices=(None, "a", (1, 2)))),
    )
)
ACCURACY = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.005)
LOSS = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.02)


def quality(values: Mapping[str, Value]) -> float | None:
    """Return an accuracy with its best learning rate at 0.3; large ones diverge."""
    rate = values["lr"]
    assert isinstance(rate, float)
    return None if rate > 3 else 0.9 - 0.05 * math.log10(rate / 0.3) ** 2


def done(number: int, values: Mapping[str, Value], metric: Metric = ACCURACY) -> Trial:
    """Return *values* as a trial that has ended."""
    found = quality(values)
    if found is None:
        return Trial(number=number, values=values, runs={1: "f"}, diverged=frozenset({1}))
    score = found if metric.direction == "max" else 1 - found
    return Trial(number=number, values=values, runs={1: "f"}, scores={1: score})


def study(count: int, metric: Metric = ACCURACY, seed: int = 0) -> list[Trial]:
    """Return *count* trials, each proposed when those before had ended."""
    trials: list[Trial] = []
    while len(trials) < count:
        found = propose(SPACE, metric=metric, trials=trials, budget=count, draw_seed=seed)
        trials += [done(len(trials) + n, values, metric) for n, values in enumerate(found, 1)]
    return trials


def test_first_trials_are_those_of_sobol():
    """The start comes at once, equals that of method sobol, and no more than the budget."""
    for budget in (4, 30):
        first = propose(SPACE, metric=ACCURACY, trials=[], budget=budget, draw_seed=3)
        drawn = sobol.propose(SPACE, metric=ACCURACY, trials=[], budget=budget, draw_seed=3)
        assert drawn[:STARTUP_TRIALS] == first


def test_later_trials_come_one_by_one_inside_the_space():
    """After the start each call proposes one trial, short as typed and within its axes."""
    for trial in study(18)[STARTUP_TRIALS:]:
        assert SPACE["lr"].search.low <= trial.values["lr"] <= SPACE["lr"].search.high
        assert float(f"{trial.values['lr']:.4g}") == trial.values["lr"]
        assert 0.0 <= trial.values["momentum"] <= 0.99
        assert isinstance(trial.values["steps"], int)
        assert trial.values["kind"] in SPACE["kind"].search.choices


def test_a_trial_depends_on_those_before_it_alone():
    """Another call with the same trials, such as after a restart, proposes the same."""
    whole = study(16)
    for count in (10, 13, 15):
        found = propose(SPACE, metric=ACCURACY, trials=whole[:count], budget=99, draw_seed=0)
        assert [whole[count].values] == found


@pytest.mark.parametrize("asks", [20, 0])
def test_no_setting_is_tried_twice(monkeypatch, asks):
    """All 14 settings of a small space are tried, also if the sampler only has tried ones."""
    monkeypatch.setattr("normbench.tuning.tpe._ASKS", asks)
    whole = Axis(word="steps", search=Search(scale="int", low=1, high=7))
    space = Space((whole, Axis(word="kind", search=Search(scale="choice", choices=("a", "b")))))
    trials: list[Trial] = []
    while len(trials) < 14:
        found = propose(space, metric=ACCURACY, trials=trials, budget=14, draw_seed=0)
        for values in found:
            number = len(trials) + 1
            score = 0.9 - 0.1 * abs(float(str(values["steps"])) - 3)
            trials.append(Trial(number=number, values=values, runs={1: "f"}, scores={1: score}))

    assert 14 == len({(each.values["steps"], each.values["kind"]) for each in trials})
    drawn = sobol.propose(space, metric=ACCURACY, trials=[], budget=14, draw_seed=0)
    assert (asks == 0) == (drawn == [each.values for each in trials])


def test_every_trial_has_a_sampler_seed_of_its_own(monkeypatch):
    """Neither two trials of a draw nor the same trial of two draws sample alike."""
    import optuna

    sampler, seeds = optuna.samplers.TPESampler, []

    def noted(**given):
        seeds.append(given["seed"])
        return sampler(**given)

    monkeypatch.setattr(optuna.samplers, "TPESampler", noted)
    study(STARTUP_TRIALS + 4)
    study(STARTUP_TRIALS + 4, seed=1)

    assert (8, 8) == (len(seeds), len(set(seeds)))


def test_results_and_draw_seed_matter():
    """Other scores, and another draw seed, lead to other trials."""
    trials = study(12)
    turned = [
        Trial(number=t.number, values=t.values, runs=t.runs, scores={1: 1 - (t.score or 0.0)})
        for t in trials
    ]
    arguments = {"metric": ACCURACY, "budget": 99}
    found = propose(SPACE, trials=trials, draw_seed=0, **arguments)

    assert found != propose(SPACE, trials=turned, draw_seed=0, **arguments)
    assert found != propose(SPACE, trials=trials, draw_seed=1, **arguments)


@pytest.mark.parametrize("metric", [ACCURACY, LOSS])
def test_it_searches_where_scores_are_good(metric):
    """Later trials lie nearer to the best learning rate than the first ones, on average."""
    trials = study(30, metric)
    distances = [abs(math.log10(trial.values["lr"] / 0.3)) for trial in trials]

    assert sum(distances[10:]) / 20 < 0.7 * sum(distances[:10]) / 10


def test_it_waits_for_results():
    """A trial without a result is named, since the next one depends on it."""
    trials = [*study(11), Trial(number=12, values=study(12)[-1].values, runs={1: "f"})]

    with pytest.raises(UsageError, match="trial 12 has no result"):
        propose(SPACE, metric=ACCURACY, trials=trials, budget=20, draw_seed=0)


def test_a_missing_optuna_names_the_extra(monkeypatch):
    """Without the package the error says what to install, and that sobol does without."""
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(UsageError, match=r"\.\[optuna\]'.*--method sobol"):
        propose(SPACE, metric=ACCURACY, trials=[], budget=20, draw_seed=0)


def test_optunas_own_log_level_is_left_alone():
    """Proposing is silent, and whoever uses Optuna beside it keeps their verbosity."""
    import optuna

    before = optuna.logging.get_verbosity()
    propose(SPACE, metric=ACCURACY, trials=study(10), budget=20, draw_seed=0)

    assert before == optuna.logging.get_verbosity()


def test_rows_say_that_their_setting_was_found_by_a_sequential_method(tmp_path):
    """A known setting of such a method keeps its label through file and row."""
    origin = {"source": "tune", "tuned_on": "it", "budget": "12 trials", "seeds": 1}
    entry = {
        "problem": "digits_cnn",
        "norm": "batch_norm",
        "optimizer": "sgd",
        "protocol": "standard",
        "values": {"lr": 0.2},
    }
    text = setting_text({"kind": "known", "method": METHODS["tpe"].label, **origin}, [entry])
    (tmp_path / SETTINGS_FOLDER).mkdir()
    (tmp_path / SETTINGS_FOLDER / "one.toml").write_text(text)
    catalogue = load_catalogue().with_store(tmp_path)
    request = Request(problem="digits_cnn_bn", optimizer="sgd", seeds=1)

    assert "known, tpe, sequential" == resolve(request, catalogue)[0].setting_origin
