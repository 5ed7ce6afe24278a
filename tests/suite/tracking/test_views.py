"""Saved views and links of MLflow's pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from normbench import Metric
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun
from normbench.tracking import sync, views
from normbench.tracking.backend import Backend, open_backend

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]

ACCURACY = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.01)
SEEDS = "tags.`normbench.kind` = 'seed'"


def test_the_runs_view_lists_seeds_with_the_columns_that_matter() -> None:
    """Its tag decodes to the filter, the order and the columns of the page."""
    key, value = views.runs_view(ACCURACY).tag()

    name, state = views.unpacked(value)

    assert ("mlflow.sharedViewState.normbench-runs", "Runs") == (key, name)
    assert SEEDS == state["searchFilter"]
    assert state["selectedColumns"] == state["columnOrder"] == list(state["columnWidths"])
    assert {
        "params.`norm`",
        "params.`optimizer`",
        "params.`seed`",
        "tags.`normbench.state`",
        "metrics.`final/test_accuracy`",
        "metrics.`best/test_accuracy`",
        "metrics.`final/train_s`",
        "metrics.`final/images_per_s`",
    } <= set(state["selectedColumns"])


@pytest.mark.parametrize(("direction", "ascending"), [("max", False), ("min", True)])
def test_the_runs_view_has_the_best_first(direction: str, ascending: bool) -> None:
    """It is ordered by the problem's metric, in its direction; by time it would fold the seeds."""
    state = views.runs_view(replace(ACCURACY, direction=direction)).state()

    assert ("metrics.`final/test_accuracy`", ascending) == (
        state["orderByKey"],
        state["orderByAsc"],
    )


def test_the_curves_view_draws_the_problems_metric_by_row() -> None:
    """It groups by the row's name and draws test accuracy and training loss over epochs."""
    name, state = views.unpacked(views.curves_view(ACCURACY).tag()[1])

    groups = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "normbench.row_name"}],
    }
    assert ("Curves", groups) == (name, state["groupBy"])
    assert ["test/accuracy", "train/loss"] == [
        chart["metricKey"] for chart in state["compareRunCharts"] if not chart["deleted"]
    ]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections


def test_what_is_no_curve_gets_no_chart(store: RunStore, train: Train, make_spec: Spec) -> None:
    """Every metric of a seed is drawn as a curve by epoch, or hidden from the charts."""
    train(make_spec())
    sync(store)
    client = open_backend(store).client
    experiment = client.get_experiment_by_name("normbench/digits_cnn/quick")
    runs = client.search_runs([experiment.experiment_id], "tags.`normbench.kind` = 'seed'")
    state = views.curves_view(ACCURACY).state()
    hidden = {chart["metricKey"] for chart in state["compareRunCharts"] if chart["deleted"]}

    shown = runs[0].data.metrics.keys() - hidden

    parts = ("train", "validation", "test")
    assert {f"{part}/{name}" for part in parts for name in ("loss", "accuracy")} == shown


@pytest.mark.parametrize("name", ["test_accuracy", "test_loss", "test_perplexity"])
def test_views_fit_into_a_tag(name: str) -> None:
    """No view comes near the length at which MLflow refuses an experiment tag."""
    lengths = [len(value) for _, value in views.view_tags(replace(ACCURACY, name=name))]

    assert 4 == len(lengths)
    assert max(lengths) < views.LONGEST_TAG / 2


def test_a_tag_is_the_envelope_that_the_pages_read() -> None:
    """Name, time in milliseconds, and the state with its marker: nothing else."""
    content = json.loads(views.runs_view(ACCURACY).tag()[1])

    assert {"name", "createdAt", "state"} == set(content)
    assert content["createdAt"] > 1.7e12
    assert content["state"].startswith("deflate;")


@pytest.mark.parametrize(
    ("view", "end"),
    [
        (None, ""),
        (views.RUNS, "&viewStateShareKey=normbench-runs"),
        (views.CURVES, "&viewStateShareKey=normbench-curves&compareRunsMode=CHART"),
    ],
)
def test_links_open_the_model_training_pages(view: str | None, end: str) -> None:
    """A link names the experiment, the kind of page, and the view if there is one."""
    link = views.link("http://127.0.0.1:5000/", "7", view)

    start = "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning"
    assert start + end == link


@pytest.mark.parametrize(
    ("version", "known"),
    [("3.15.0", True), ("3.17.2", True), ("4.0.0rc1", True), ("3.14.9", False), ("", False)],
)
def test_named_views_are_used_where_the_pages_know_them(version: str, known: bool) -> None:
    """They exist since MLflow 3.15; an unknown version gets the plain page."""
    assert known is views.supported(version)


def test_people_keep_the_views_and_the_note_that_they_changed(
    store: RunStore, train: Train, make_spec: Spec
) -> None:
    """A synchronisation writes them once and leaves them alone from then on."""
    train(make_spec(0))
    sync(store)
    client = open_backend(store).client
    experiment = client.get_experiment_by_name("normbench/digits_cnn/quick")
    for tag in (views.NOTE, "mlflow.sharedViewState.normbench-runs"):
        client.set_experiment_tag(experiment.experiment_id, tag, "mine")

    train(make_spec(1))
    sync(store)

    tags = client.get_experiment(experiment.experiment_id).tags
    assert ("mine", "mine") == (tags[views.NOTE], tags["mlflow.sharedViewState.normbench-runs"])


def test_an_old_server_gets_runs_without_views(
    store: RunStore, train: Train, make_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pages do not know named views, the experiment has none, and no links to them."""
    monkeypatch.setattr(Backend, "_version", lambda self: "3.14.0")
    train(make_spec())

    sync(store)

    tags = open_backend(store).client.get_experiment_by_name("normbench/digits_cnn/quick").tags
    assert not {views.NOTE, "mlflow.sharedViewState.normbench-runs"} & set(tags)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("", "{own}"),
        ("[Runs](#/x) by me", "{own}\n\n[Runs](#/x) by me"),
        ("mine above\n\n{own}\n\nmine below", "mine above\n\n{own}\n\nmine below"),
        ("mine above\n\n{old}\n\nmine below", "mine above\n\n{own}\n\nmine below"),
        (views.note("7"), "{own}"),
    ],
)
def test_what_people_wrote_into_the_note_stays(present: str, expected: str) -> None:
    """Only our own part is replaced, wherever people moved it."""
    own, old = (views.with_boards("7", [f"the {age} one"]) for age in ("new", "old"))

    note = views.merged(present.format(own=own, old=old), own, "7")

    assert expected.format(own=own) == note
