"""Copying a run store to MLflow: complete, once, and again without change."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normbench.errors import BusyError
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun, merge_store
from normbench.tracking import SyncReport, sync
from normbench.tracking.backend import open_backend
from normbench.tracking.reader import MlflowReader

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]
Contents = Callable[..., dict[str, Any]]
Point = Callable[..., dict[str, Any]]

EXPERIMENT = "normbench/digits_cnn/quick"
ROW = f"{EXPERIMENT}/batch_norm+sgd"


def test_importing_tracking_leaves_mlflow_out() -> None:
    """The package can be imported without paying for mlflow, torch or sqlalchemy."""
    code = "import sys, normbench.tracking as t; print({'mlflow','torch'} & set(sys.modules))"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert b"set()\n" == printed


def test_each_seed_becomes_one_run_below_its_row(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Two seeds of one row become a row run and two seed runs below it."""
    for seed in (0, 1):
        train(make_spec(seed))

    report = sync(store)

    held = contents(store)
    assert SyncReport(created=2) == report
    assert {EXPERIMENT, ROW, f"{ROW}/s0", f"{ROW}/s1"} == set(held)
    assert "batch_norm+sgd" == held[f"{ROW}/s1"]["parent"]


def test_a_seed_holds_curves_results_and_files(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """All points of the journal with their own times, the result, and the files are there."""
    run = train(make_spec(1))

    sync(store)

    seed = contents(store)[f"{ROW}/s1"]
    points = [
        (point["epoch"], point["test"]["accuracy"], round(point["time"] * 1000))
        for point in run.points()
    ]
    assert points == seed["metrics"]["test/accuracy"]
    assert [1, 2, 3] == [step for step, _, _ in seed["metrics"]["train/loss"]]
    assert run.result()["score"] == seed["metrics"]["final/score"][0][1]
    assert 12346.0 == seed["metrics"]["final/images_per_s"][0][1]
    assert 4321.2 == seed["metrics"]["final/energy_j"][0][1]
    assert ["environment.json", "journal.jsonl", "result.json", "spec.json"] == seed["artifacts"]
    assert "FINISHED" == seed["status"]


def test_epochs_trained_again_after_a_crash_are_not_doubled(
    store: RunStore, make_spec: Spec, contents: Contents, point: Point, result: Point
) -> None:
    """The second attempt repeats two epochs bit by bit but later; each epoch stays there once."""
    run = store.add(make_spec())
    with run.claim({}) as attempt:
        for epoch in range(3):
            attempt.append(point(0, epoch))
    sync(store)

    with run.claim({}) as attempt:
        for epoch in range(4):
            attempt.append(point(0, epoch) | {"time": 1.76e9 + epoch})
        attempt.publish(result(0, 3))
    report = sync(store)

    history = contents(store)[f"{ROW}/s0"]["metrics"]["test/accuracy"]
    assert SyncReport(updated=1) == report
    assert [0, 1, 2, 3] == [step for step, _, _ in history]


def test_long_curves_are_sent_whole(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """More values than MLflow takes in one request arrive in several."""
    train(make_spec(), epochs=200)

    sync(store)

    metrics = contents(store)[f"{ROW}/s0"]["metrics"]
    assert list(range(201)) == [step for step, _, _ in metrics["test/loss"]]
    assert list(range(201)) == [step for step, _, _ in metrics["validation/accuracy"]]
    assert list(range(1, 201)) == [step for step, _, _ in metrics["train/accuracy"]]


def test_tags_say_how_far_rows_and_experiments_are(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Counts by state, and the work that is left at the pace of a row's finished runs."""
    train(make_spec(0))
    for seed in (1, 5):
        store.add(make_spec(seed))
    store.add(make_spec(2)).cancel()
    for seed, outcome in ((3, "failed"), (4, "timed_out")):
        train(make_spec(seed), outcome=outcome)
    train(make_spec(0, optimizer="adam"))

    sync(store)

    held = contents(store)
    expected = {
        ROW: (
            "1 of 6",
            "2 queued, 1 done, 1 failed, 1 timed out, 1 cancelled",
            "2.5 s of one device",
        ),
        f"{EXPERIMENT}/batch_norm+adam": ("1 of 1", "1 done", "none"),
        EXPERIMENT: (
            "2 of 7",
            "2 queued, 2 done, 1 failed, 1 timed out, 1 cancelled",
            "2.5 s of one device",
        ),
    }
    for name, words in expected.items():
        tags = held[name] if name == EXPERIMENT else held[name]["tags"]
        said = [tags[f"normbench.{tag}"] for tag in ("progress", "outcomes", "time_left")]
        assert words == tuple(said)


def test_time_left_is_unknown_before_a_run_of_each_row_has_ended(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """One row's pace says nothing of another's; a row none of whose runs has begun counts too."""
    train(make_spec(0))
    store.add(make_spec(0, optimizer="adam"))

    sync(store)

    tags = contents(store)[EXPERIMENT]
    said = [tags[f"normbench.{tag}"] for tag in ("progress", "time_left")]
    assert ["1 of 2", "1 row of unknown pace"] == said


def test_times_of_shared_devices_stay_out(
    store: RunStore, make_spec: Spec, contents: Contents, result: Point
) -> None:
    """A run that shared its device says so, and has no time, speed, memory or energy to compare."""
    with store.add(make_spec()).claim({}) as attempt:
        attempt.publish({**result(0, 1), "shared": True})

    sync(store)

    seed = contents(store)[f"{ROW}/s0"]
    timed = {"final/train_s", "final/images_per_s", "final/peak_mb", "final/seconds_to_target"}
    timed |= {"final/energy_j"}
    assert "true" == seed["tags"]["normbench.shared"]
    assert not timed & set(seed["metrics"])
    assert 1.0 == seed["metrics"]["final/epochs_to_target"][0][1]


def test_tags_and_parameters_say_what_a_seed_is(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """A seed can be found by fingerprint, row and cell, and its setting is in its parameters."""
    spec = make_spec(2, setting={"lr": 0.02}, deviations=("protocol.epochs=3",))
    train(spec)

    sync(store)

    seed = contents(store)[f"{EXPERIMENT}/batch_norm+sgd [lr=0.02 protocol.epochs=3]/s2"]
    expected = {
        "normbench.kind": "seed",
        "normbench.fingerprint": spec.fingerprint,
        "normbench.row": spec.row,
        "normbench.cell": spec.cell,
        "normbench.setting": "given",
        "normbench.deviations": "protocol.epochs=3",
        "normbench.outcome": "finished",
        "normbench.hardware": "device a small processor, cores 2",
        "normbench.variables": "NORMBENCH_NORM_KERNELS 0",
        "normbench.pack": "1",
    }
    assert expected == {name: seed["tags"].get(name) for name in expected}
    assert ("0.02", "64", "3", "2") == tuple(
        seed["parameters"][name] for name in ("lr", "batch_size", "epochs", "seed")
    )


def test_experiment_tags_name_the_problem_and_its_metric(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Problem, protocol, metric, direction and worst score are tags of the experiment."""
    train(make_spec())

    sync(store)

    tags = contents(store)[EXPERIMENT]
    expected = {
        "mlflow.experimentKind": "custom_model_development",
        "normbench.problem": "digits_cnn",
        "normbench.protocol": "quick",
        "normbench.metric": "test_accuracy",
        "normbench.direction": "max",
        "normbench.worst_score": "0.1",
    }
    assert expected == {name: tags.get(name) for name in expected}


def test_a_second_sync_changes_nothing(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Metrics, tags, times and files are the same after another synchronisation."""
    train(make_spec(0))
    train(make_spec(1), outcome="failed")
    train(make_spec(2), outcome="diverged")
    sync(store)
    before = contents(store)

    report = sync(store)

    assert SyncReport(unchanged=3) == report
    assert before == contents(store)


def test_a_new_point_is_added_and_nothing_else(
    store: RunStore, make_spec: Spec, contents: Contents, point: Point
) -> None:
    """Of a run that trains, one more journal line becomes one more value of each metric."""
    with store.add(make_spec()).claim({}) as attempt:
        attempt.append(point(0, 0))
        attempt.append(point(0, 1))
        sync(store)
        before = contents(store)[f"{ROW}/s0"]["metrics"]["test/accuracy"]
        attempt.append(point(0, 2))

        report = sync(store)

        seed = contents(store)[f"{ROW}/s0"]
    assert SyncReport(updated=1) == report
    assert before == seed["metrics"]["test/accuracy"][:-1]
    assert (2, "RUNNING") == (seed["metrics"]["test/accuracy"][-1][0], seed["status"])


def test_runs_that_nobody_began_are_only_counted(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """A pending seed has no run, but its row knows that it is expected."""
    train(make_spec(0))
    store.add(make_spec(1))

    sync(store)

    row = contents(store)[ROW]
    assert {"1 of 2"} == {row["tags"]["normbench.progress"]}
    assert ("SCHEDULED", "1 queued, 1 done") == (
        row["status"],
        row["tags"]["normbench.outcomes"],
    )


def test_a_row_shows_mean_and_spread_with_diverged_seeds_at_the_worst_score(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Scores 0.8, 0.81 and a diverged 0.1 give n 3, their mean and their standard deviation."""
    for seed, outcome in enumerate(("finished", "finished", "diverged")):
        train(make_spec(seed), outcome=outcome)

    sync(store)

    metrics = contents(store)[ROW]["metrics"]
    values = {key: history[-1][1] for key, history in metrics.items()}
    assert {"row/n": 3.0, "row/mean": 0.57, "row/sd": 0.407063, "row/diverged": 1.0} == values


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("diverged", "FINISHED"),
        ("failed", "FAILED"),
        ("out_of_memory", "FAILED"),
        ("timed_out", "FAILED"),
        ("killed", "KILLED"),
        ("interrupted", "KILLED"),
    ],
)
def test_the_status_tells_results_failures_and_stops_apart(
    outcome: str, status: str, store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Diverging is a result; what broke is FAILED; what was stopped is KILLED."""
    train(make_spec(), outcome=outcome)

    sync(store)

    seed = contents(store)[f"{ROW}/s0"]
    assert (status, outcome) == (seed["status"], seed["tags"]["normbench.state"])


def test_a_failed_run_that_is_repeated_ends_as_finished(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """The second attempt's outcome replaces the first one's, in the same run."""
    train(make_spec(), outcome="failed")
    sync(store)

    train(make_spec())
    report = sync(store)

    seed = contents(store)[f"{ROW}/s0"]
    assert SyncReport(updated=1) == report
    assert ("FINISHED", "finished") == (seed["status"], seed["tags"]["normbench.outcome"])
    assert "normbench.message" not in seed["tags"]


def test_an_attempt_that_went_another_way_replaces_the_earlier_curve(
    store: RunStore, make_spec: Spec, contents: Contents, point: Point, result: Point
) -> None:
    """Values of a lost attempt that the new one contradicts are gone from MLflow."""
    run = store.add(make_spec())
    with run.claim({}) as attempt:
        for epoch in range(4):
            attempt.append(point(7, epoch))
    sync(store)

    with run.claim({}) as attempt:
        for epoch in range(3):
            attempt.append(point(0, epoch))
        attempt.publish(result(0, 2))
    sync(store)

    history = contents(store)[f"{ROW}/s0"]["metrics"]["test/accuracy"]
    assert [p["test"]["accuracy"] for p in run.points()] == [value for _, value, _ in history]


def test_no_value_that_is_not_finite_reaches_mlflow(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Numbers in a journal that are too large for a float are left out; finite ones stay."""
    run = train(make_spec(), epochs=1, outcome="failed")
    line = '{"epoch": 2, "time": 1.0, "test": {"accuracy": -1e999, "loss": 1e999, "other": 5}}'
    with (run.path / "attempts" / "0001" / "journal.jsonl").open("a") as journal:
        journal.write(line + "\n")

    sync(store)

    metrics = contents(store)[f"{ROW}/s0"]["metrics"]
    assert [0, 1] == [step for step, _, _ in metrics["test/accuracy"]]
    assert [0, 1] == [step for step, _, _ in metrics["test/loss"]]
    assert 5.0 == metrics["test/other"][0][1]


def test_a_merged_store_adds_only_what_is_new(
    store: RunStore, tmp_path: Path, make_spec: Spec, train: Train, contents: Contents
) -> None:
    """Seeds that came from another store join their row; those known stay as they are."""
    train(make_spec(0))
    sync(store)
    other = RunStore.open(tmp_path / "other", create=True)
    for seed in (0, 1):
        train(make_spec(seed), store=other)

    merge_store(other.root, store)
    report = sync(store)

    assert SyncReport(created=1, unchanged=1) == report
    assert 2.0 == contents(store)[ROW]["metrics"]["row/n"][-1][1]


def test_two_stores_that_feed_one_database_agree(
    store: RunStore, tmp_path: Path, other_uri: str, make_spec: Spec, train: Train
) -> None:
    """Each adds its seeds to the same row, and synchronising the first again changes nothing."""
    elsewhere = RunStore.open(tmp_path / "elsewhere", create=True)
    train(make_spec(0))
    train(make_spec(1), store=elsewhere)
    sync(store, uri=other_uri)

    report = sync(elsewhere, uri=other_uri)

    assert SyncReport(created=1) == report
    assert SyncReport(unchanged=1) == sync(store, uri=other_uri)
    client = open_backend(store, other_uri).client
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    rows = [run for run in runs if run.data.tags["normbench.kind"] == "row"]
    assert [2.0] == [row.data.metrics["row/n"] for row in rows]


def test_of_two_results_of_one_run_the_later_stands_in_both_stores(
    store: RunStore,
    tmp_path: Path,
    make_spec: Spec,
    contents: Contents,
    point: Point,
    result: Point,
    other_uri: str,
) -> None:
    """Two stores that trained the same seed do not overwrite each other in turn."""
    elsewhere = RunStore.open(tmp_path / "elsewhere", create=True)
    for place, epochs in ((store, 1), (elsewhere, 2)):
        with place.add(make_spec()).claim({}) as attempt:
            attempt.append(point(0, epochs))
            attempt.publish(result(0, epochs))
    sync(store, uri=other_uri)

    report = sync(elsewhere, uri=other_uri)

    later = contents(store, other_uri)
    assert SyncReport(created=1) == report
    assert 2.0 == later[f"{ROW}/s0"]["metrics"]["final/epochs"][0][1]
    assert SyncReport(unchanged=1) == sync(store, uri=other_uri)
    assert later == contents(store, other_uri)


def replace_file(file: Path, text: str) -> None:
    """Replace *file* whole, as the store does and a restored backup: its folder changes."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_mlflow_follows_a_result_that_was_wrong_for_a_while(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Whether it says an earlier end, the same, or a later one, nothing of it stays."""
    runs = [train(make_spec(seed)) for seed in (0, 1)]
    sync(store)
    before, file = contents(store), runs[0].path / "result.json"
    right = file.read_text()
    for shift in (-50, 0, 50):
        wrong = json.loads(right)
        wrong |= {"score": 0.5, "finished_at": wrong["finished_at"] + shift}
        wrong["final"]["test"]["accuracy"] = 0.5
        replace_file(file, json.dumps(wrong))
        assert 1 == sync(store).unchanged
        assert [(3, 0.5)] == [
            point[:2] for point in contents(store)[f"{ROW}/s0"]["metrics"]["final/score"]
        ]
        replace_file(file, right)
        assert SyncReport(created=1, unchanged=1) == sync(store)
        now = contents(store)
        mean = now[ROW].pop("metrics")["row/mean"]
        assert (2, 0.805) == max(mean, key=lambda point: (point[2], point[1]))[:2]
        assert now == {**before, ROW: now[ROW]}
        assert before[ROW]["tags"].items() - now[ROW]["tags"].items() == set()
    assert SyncReport(unchanged=2) == sync(store)
    reader = MlflowReader(f"sqlite:///{store.root}/mlflow.db")
    assert {0: 0.8, 1: 0.81} == pytest.approx(
        {seed: run.score for seed, run in reader.rows()[0].runs.items()}
    )


def test_an_old_copy_of_a_store_takes_nothing_back(
    store: RunStore, tmp_path: Path, make_spec: Spec, contents: Contents, point: Point
) -> None:
    """A copy made while a run trained knows less than MLflow does, and changes nothing."""
    uri = f"sqlite:///{store.root}/mlflow.db"
    with store.add(make_spec()).claim({}) as attempt:
        attempt.append(point(0, 0))
        copy = RunStore.open(Path(shutil.copytree(store.root, tmp_path / "copy")))
        attempt.append(point(0, 1))
        sync(store)
        before = contents(store)

        report = sync(copy, uri=uri)

    assert SyncReport(unchanged=1) == report
    assert before == contents(store)


@pytest.mark.parametrize("deleted", [ROW, f"{ROW}/s0"])
def test_what_was_deleted_in_mlflow_comes_back_in_its_place(
    deleted: str, store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """The store is the truth: a deleted row or seed is made anew, with the seeds below the row."""
    for seed in (0, 1):
        train(make_spec(seed))
    sync(store)
    before = contents(store)
    client = open_backend(store).client
    experiment = client.get_experiment_by_name(EXPERIMENT)
    name = deleted.removeprefix(f"{EXPERIMENT}/")
    for run in client.search_runs([experiment.experiment_id]):
        if run.info.run_name == name:
            client.delete_run(run.info.run_id)

    report = sync(store)

    assert (0, 2) == (report.failed, report.created + report.updated + report.unchanged)
    assert before == contents(store)


def test_a_damaged_run_is_named_and_leaves_nothing_behind(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """The file that cannot be read is in the report; other runs are copied all the same."""
    damaged = train(make_spec(0))
    (damaged.path / "result.json").write_text("{")
    train(make_spec(0, norm="group_norm"))

    report = sync(store)

    assert (1, 1) == (report.created, report.failed)
    assert "result.json" in report.problems[0]
    assert ROW not in contents(store)


def test_only_the_runs_asked_for_are_copied(
    store: RunStore, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """A selection leaves the other runs alone."""
    chosen = train(make_spec(0))
    train(make_spec(1))

    report = sync(store, runs=[chosen])

    assert SyncReport(created=1) == report
    assert f"{ROW}/s1" not in contents(store)


def test_another_process_that_copies_is_named(store: RunStore) -> None:
    """While somebody else holds the collector's lock, the call says so instead of interfering."""
    with (
        store.lock("collector", wait=0),
        pytest.raises(BusyError, match="another normbench process copies"),
    ):
        sync(store, wait=0.0)
