"""DeepOBS's results: all three dialects read, ours written so that they come back."""

from __future__ import annotations

import json
import math

import pytest

from normbench.bridges.deepobs import read_results, read_run, setting_folder, summarise
from normbench.errors import UsageError

COMMON = {
    "testproblem": "cifar10_3c3d",
    "batch_size": 128,
    "num_epochs": 3,
    "random_seed": 42,
    "train_losses": [2.3, 1.5, 1.2, 1.0],
    "test_losses": [2.4, 1.6, 1.4, 1.5],
    "train_accuracies": [0.1, 0.4, 0.5, 0.6],
    "test_accuracies": [0.1, 0.3, 0.5, 0.45],
    "minibatch_train_losses": [2.3, 1.8],
}
VALID = {"valid_losses": [2.4, 1.6, 1.3, 1.4], "valid_accuracies": [0.1, 0.35, 0.5, 0.5]}
FIRST = {
    **COMMON,
    "optimizer": "MomentumOptimizer",
    "weight_decay": 0.002,
    "learning_rate": 0.01,
    "hyperparams": {"momentum": 0.99, "use_nesterov": False},
    "lr_sched_epochs": None,
    "lr_sched_factors": None,
    "train_log_interval": 10,
}
SECOND = {
    **COMMON,
    **VALID,
    "optimizer_name": "SGD",
    "weight_decay": None,
    "optimizer_hyperparams": {"lr": 0.01, "momentum": 0.99, "nesterov": False},
    "training_params": {"lr_sched_epochs": [2], "noise": None},
}
DEVELOP = {
    **{name: value for name, value in SECOND.items() if name != "weight_decay"},
    "l2_reg": 0.0005,
}
COCKPIT = {name: value for name, value in DEVELOP.items() if name != "training_params"}
DIALECTS = {"1.1": FIRST, "1.2": SECOND, "develop": DEVELOP, "cockpit": COCKPIT}


@pytest.fixture
def write(tmp_path):
    """Write a result as DeepOBS does, bare NaN included, and return its file."""

    def write(content, seed=42):
        optimizer = content.get("optimizer_name", content.get("optimizer", "unknown"))
        folder = tmp_path / "results" / str(content.get("testproblem")) / optimizer / "setting"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"random_seed__{seed}__2019-10-29-12-00-00.json"
        file.write_text(json.dumps({**content, "random_seed": seed}, indent=4))
        return file

    return write


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_run(name, write):
    """Problem, setting and curves are found whatever the dialect calls them."""
    run = read_run(write(DIALECTS[name]))

    assert ("cifar10_3c3d", 42, 3, 128) == (run.problem, run.seed, run.epochs, run.batch_size)
    assert ("lr", 0.01) == next(iter(run.hyperparameters.items()))
    assert 0.99 == run.hyperparameters["momentum"]
    assert (0.1, 0.3, 0.5, 0.45) == run.curves["test"]["accuracy"]
    assert ("finished", "accuracy", 0.45, 0.5) == (run.status, run.metric, run.final, run.best)


def test_dialects_are_told_apart(write):
    """The names in the file tell which version wrote it, and where its L2 coefficient is."""
    runs = {name: read_run(write(content)) for name, content in DIALECTS.items()}

    found = {name: (run.dialect, run.weight_decay) for name, run in runs.items()}
    assert found == {
        "1.1": ("1.1", 0.002),
        "1.2": ("1.2", None),
        "develop": ("develop", 0.0005),
        "cockpit": ("develop", 0.0005),
    }
    assert {"lr_sched_epochs": [2]} == runs["1.2"].training_parameters
    assert {} == runs["cockpit"].training_parameters == runs["1.1"].training_parameters


def test_missing_validation_is_no_curve(write):
    """Version 1.1 knew no validation part; a loss alone is a problem without accuracy."""
    losses = {name: value for name, value in FIRST.items() if "accuracies" not in name}

    assert {"train", "test"} == read_run(write(FIRST)).curves.keys()
    assert ("loss", 1.5, 1.4) == _headline(read_run(write(losses)))


def _headline(run):
    return run.metric, run.final, run.best


def _filled(curve):
    return [*curve[:2], curve[0], curve[0]]


NAN, INF = math.nan, math.inf
DIVERGED = {
    "1.1 goes on with NaN": {**FIRST, "test_losses": [2.4, 1.6, NAN, NAN]},
    "1.1 overflows": {**FIRST, "train_losses": [2.3, 1.5, INF, NAN]},
    "1.2 fills up": {
        **SECOND,
        **{
            name: _filled(curve)
            for name, curve in SECOND.items()
            if name.endswith(("_losses", "_accuracies")) and not name.startswith("minibatch")
        },
    },
}


@pytest.mark.parametrize("name", DIVERGED)
def test_divergence_is_inferred(name, write):
    """Non-finite values, and curves filled up with their first value, count as diverged."""
    run = read_run(write(DIVERGED[name]))

    assert ("diverged", 2) == (run.status, run.diverged_epoch)


def test_one_curve_back_at_its_start_is_no_divergence(write):
    """Accuracy may return to chance; only all curves at once are what DeepOBS fills in."""
    run = read_run(write({**SECOND, "test_accuracies": [0.1, 0.3, 0.1, 0.1]}))

    assert ("finished", None) == (run.status, run.diverged_epoch)


def test_summary_averages_finished_seeds(write):
    """A setting's numbers are over the seeds that finished, and its status counts them all."""
    write(SECOND, seed=42)
    write({**SECOND, "test_accuracies": [0.1, 0.3, 0.6, 0.55]}, seed=43)
    file = write(DIVERGED["1.2 fills up"], seed=44)
    (summary,) = summarise(read_results(file.parents[3]))

    assert "2 finished, 1 diverged" == summary.status
    content = summary.to_dict()
    assert pytest.approx(0.5) == content["final"]["mean"]
    assert pytest.approx(0.55) == content["best"]["mean"]
    assert [42, 43, 44] == [run["seed"] for run in content["runs"]]
    json.dumps(content, allow_nan=False)


BAD = {
    "no JSON": ("{", "Expecting property name"),
    "a list": ("[]", "expected an object"),
    "no curves": (json.dumps({**SECOND, "test_losses": []}), "'test_losses'"),
    "no optimizer": (json.dumps(COMMON), "'optimizer'"),
    "text": (json.dumps({**SECOND, "test_losses": ["high"]}), "could not convert"),
    "no text": ("\udcff", "utf-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_unreadable_file_is_named_with_a_fix(name, write):
    """A file that is no result costs an error with its path, the reason and what to do."""
    text, reason = BAD[name]
    file = write(SECOND)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(UsageError) as caught:
        read_results(file.parents[3])

    assert str(file) in str(caught.value)
    assert reason in str(caught.value)
    assert "move it out of the folder" in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "."])
def test_folder_without_results_is_refused(name, tmp_path):
    """A folder that does not exist or holds none says what is looked for."""
    with pytest.raises(UsageError, match=r"PROBLEM/OPTIMIZER/SETTING/random_seed__SEED"):
        read_results(tmp_path / name)


def test_setting_folder_is_named_as_deepobs_does():
    """Sizes, L2 coefficient, then both groups in alphabetical order; floats with 10 digits."""
    content = {
        "num_epochs": 100,
        "batch_size": 128,
        "weight_decay": 0.0,
        "optimizer_hyperparams": {"nesterov": False, "lr": 10**-1.8, "momentum": 0.99},
        "training_params": {"warm": 1.0, "epochs": None, "base": 0.01},
    }

    assert setting_folder(content) == (
        "num_epochs__100__batch_size__128__weight_decay__0.e+00__lr__1.5848931925e-02"
        "__momentum__9.9e-01__nesterov__False__base__1.e-02__warm__1.e+00"
    )


def test_long_setting_keeps_both_ends():
    """A name that no file system takes is cut in the middle; the row at its end stays."""
    many = {f"hyperparameter_{number}": float(number) for number in range(20)}
    content = {
        "num_epochs": 1,
        "batch_size": 32,
        "weight_decay": None,
        "optimizer_hyperparams": many,
        "training_params": {"row": "0123abcd"},
    }

    name = setting_folder(content)

    assert 200 == len(name)
    assert name.startswith("num_epochs__1__batch_size__32__hyperparameter_0__0.e+00")
    assert name.endswith("__row__0123abcd")
