"""What a plan says of cells, costs, time, disk and differences; nothing is trained."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.descriptions import Source, Suite
from normbench.errors import StoreError, UsageError
from normbench.forecast.cells import gather
from normbench.forecast.cost import cost_of_probe, cost_of_runs
from normbench.forecast.detection import detections, tables_of
from normbench.forecast.disk import estimated_bytes, folder_bytes, measured_bytes
from normbench.forecast.hardware import device_name
from normbench.forecast.plan import Forecast, disk_of, forecast, with_costs
from normbench.forecast.probes import Measured, Probe, Prober
from normbench.forecast.schedule import finish_seconds
from normbench.forecast.starts import measured_start
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.leaderboard.grouping import tables_of as leaderboard_tables
from normbench.leaderboard.reading import ReadRow
from normbench.planning import plan_all
from normbench.plugins import load_catalogue
from normbench.power import detectable_effect, pairs_needed
from normbench.publications import Publication, PublishedResult
from normbench.resolve import Request, resolve
from normbench.specs import FIRST_TUNING_SEED
from normbench.store import RunState, RunStore
from normbench.suites import Plan, expand, find_suite
from normbench.worker.reports import Reporter

CATALOGUE = load_catalogue()
MEASURED = Measured(
    seconds_per_step=0.5,
    measured_steps=10,
    steps_per_epoch=40,
    seconds_per_evaluation=2.0,
    seconds_per_refresh=3.0,
    peak_memory=10**9,
    checkpoint=10**6,
    hardware="some device",
    torch="2.15.0",
)


def request(optimizer="sgd", *, seeds=3, problem="digits_cnn_bn", norm=None, words=()):
    """Return a request of three epochs."""
    return Request(
        problem=problem,
        optimizer=optimizer,
        norm=norm,
        seeds=seeds,
        words=("protocol.epochs=3", *words),
    )


@pytest.fixture
def store(tmp_path):
    return RunStore.open(tmp_path / "store", create=True)


def finish(store, asked, scores, *, outcome="finished", seconds=30.0, device="cpu", **more):
    """Add the runs of a request, or of some specs, and give each a result."""
    specs = resolve(asked, CATALOGUE) if isinstance(asked, Request) else asked
    for spec, score in zip(specs, scores, strict=True):
        attempt = store.add(spec).claim({"hardware": {"device": device_name("cpu")}})
        with attempt:
            attempt.publish(
                {
                    "outcome": outcome,
                    "score": score,
                    "epochs": 3,
                    "steps": 120,
                    "train_seconds": seconds,
                    "evaluation_seconds": 3.0,
                    "peak_memory_mb": 512.0,
                    "device": device,
                    "shared": False,
                    **more,
                }
            )


@pytest.fixture(params=CATALOGUE.names(Suite))
def suite_plan(request):
    """What one shipped suite asks for."""
    return expand(find_suite(request.param, CATALOGUE, Path()), CATALOGUE)


@pytest.fixture
def make_row():
    """Return a function that makes of a cell the row that a leaderboard reads of its runs."""

    def made(cell):
        spec = cell.spec
        return ReadRow(
            row=spec.row,
            problem=spec.problem.name,
            norm=spec.norm.name,
            norm_label=spec.norm_label,
            optimizer=spec.optimizer.name,
            setting=spec.optimizer.parameters,
            setting_origin=spec.setting_origin,
            protocol=spec.protocol.name,
            deviations=spec.deviations,
            text=spec.to_json(),
            runs={},
        )

    return made


def cells_of(store, *requests):
    return gather(requests, CATALOGUE, store)


def nothing(_text):
    """Take note of nothing."""


def prober(store, tmp_path):
    return Prober(store.root, tmp_path, "cpu")


def test_longest_runs_go_first():
    """Runs are not divided: with two devices the longest waits for nobody."""
    assert 7.0 == finish_seconds([3.0, 2.0, 7.0, 2.0], 2)
    assert 14.0 == finish_seconds([3.0, 2.0, 7.0, 2.0], 1)
    assert 0.0 == finish_seconds([], 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.integers(min_value=1, max_value=3))
def test_finish_is_near_the_best_order(seconds, devices):
    """It is no earlier than any order allows, and within Graham's bound of the best one."""

    def in_order(order):
        ends = [0.0] * devices
        for each in order:
            ends[ends.index(min(ends))] += each
        return max(ends)

    best = min(in_order(order) for order in permutations(seconds))
    found = finish_seconds(seconds, devices)

    assert best - 1e-9 <= found <= best * (4 / 3 - 1 / (3 * devices)) + 1e-9


def test_cells_count_their_runs(store):
    """Done, running, failed, cancelled and missing runs of a row are told apart."""
    finish(store, request(seeds=2), (0.9, 0.8))
    specs = resolve(request(seeds=7), CATALOGUE)
    failed = store.add(specs[2]).claim({})
    with failed:
        failed.close(RunState.FAILED, "made to fail")
    store.add(specs[3]).cancel()
    running = store.add(specs[4]).claim({})
    with running:
        (cell,) = cells_of(store, request(seeds=7))
        running.close(RunState.INTERRUPTED)

    assert {"done": 2, "running": 1, "failed": 1, "cancelled": 1} == cell.counts
    assert 5 == len(cell.left)
    assert [0.9, 0.8] == cell.scores


def test_requests_that_mean_one_row_are_one_cell(store):
    """A problem with its twin's norm is the twin; their seeds are put together."""
    twin = request(seeds=[0, 1])
    same = request(seeds=[1, 2], problem="digits_cnn", norm="batch_norm")
    (cell,) = cells_of(store, twin, same)

    assert [0, 1, 2] == [run.spec.seed for run in cell.runs]


def test_run_that_two_requests_mean_is_trained_once():
    """A suite that asks for a run in two ways has it once among its specs."""
    twin, same = request(seeds=2), request(seeds=3, problem="digits_cnn", norm="batch_norm")
    specs = plan_all((twin, same), CATALOGUE)

    assert [0, 1, 2] == [spec.seed for spec in specs]
    assert 1 == len({spec.row for spec in specs})


def test_error_names_the_cell_in_words_that_ask_for_it():
    """Ablation and sites are part of the name; a norm that was not asked for is not."""
    bad = replace(request(words=("lr=-1",)), ablation="fixed")
    masked = replace(request(problem="digits_cnn", norm="batch_norm", words=("lr=-1",)), sites=(1,))

    with pytest.raises(UsageError, match=r"^cell digits_cnn_bn sgd --ablation fixed protocol\."):
        plan_all([bad], CATALOGUE)
    with pytest.raises(UsageError, match=r"^cell digits_cnn sgd --norm batch_norm --sites 1 prot"):
        plan_all([masked], CATALOGUE)


def test_cell_that_cannot_be_resolved_says_why(store):
    """One bad cell is named and the others are planned."""
    bad, good = cells_of(store, request(words=("lr=-1",)), request())

    assert "lr=-1" in bad.error
    assert bad.spec is None
    assert not good.error


def test_missing_data_are_named_with_the_command(store, tmp_path):
    """A dataset without files in the data folder says how to fetch them."""
    (cell,) = gather([request(problem="cifar10_3c3d")], CATALOGUE, store, tmp_path)

    assert "7 files are missing" in cell.missing_data
    assert f"normbench prepare cifar10 --data-dir {tmp_path}" in cell.missing_data
    assert not gather([request()], CATALOGUE, store, tmp_path)[0].missing_data


def test_many_runs_are_read_from_the_index(store, monkeypatch):
    """A plan reads the same of few runs from their files as of many from the index."""
    finish(store, request(seeds=2), (0.9, 0.8))
    store.add(resolve(request(seeds=3), CATALOGUE)[2]).cancel()
    (few,) = cells_of(store, request(seeds=5))
    monkeypatch.setattr("normbench.forecast.standing.MANY_RUNS", 0)
    (many,) = cells_of(store, request(seeds=5))

    def shown(cell):
        return [(r.spec.fingerprint, r.state, r.share, r.score, r.seconds) for r in cell.runs]

    assert shown(few) == shown(many)


def test_share_of_an_interrupted_run_is_read_from_the_index(store, monkeypatch):
    """One epoch of three is a third of the work, and of a whole run's time, by file as by index."""
    attempt = store.add(resolve(request(seeds=1), CATALOGUE)[0]).claim({})
    with attempt:
        for epoch in (0, 1):
            attempt.append({"epoch": epoch, "step": 40 * epoch, "train_seconds": 9.0 * epoch})
        attempt.close(RunState.INTERRUPTED)
    (few,) = cells_of(store, request(seeds=1))
    monkeypatch.setattr("normbench.forecast.standing.MANY_RUNS", 0)
    (many,) = cells_of(store, request(seeds=1))

    assert [pytest.approx(1 / 3)] == [run.share for run in many.runs]
    assert [pytest.approx(2 / 3)] == few.left == many.left
    whole = replace(few.runs[0], state=RunState.FINISHED, seconds=30.0)
    assert pytest.approx(20.0) == replace(few, runs=(*few.runs, whole)).expected_seconds_left


def test_cost_comes_from_finished_runs_of_such_a_device(store):
    """Mean seconds and most memory of finished runs; runs of another device say nothing."""
    finish(store, request(seeds=1), (0.9,), seconds=30.0, peak_memory_mb=256.0)
    finish(store, request(seeds=[1]), (0.1,), outcome="diverged", seconds=1.0)
    finish(store, request(seeds=[2]), (0.9,), seconds=50.0)
    (cell,) = cells_of(store, request())
    cost = cost_of_runs(cell.runs, "cpu", device_name("cpu"))

    assert (43.0, 2**29) == (cost.seconds, cost.peak_memory)
    assert 40 / 120 == pytest.approx(cost.seconds_per_step)
    assert cost_of_runs(cell.runs, "cuda:0", device_name("cpu")) is None
    assert cost_of_runs(cell.runs, "cpu", "another processor") is None


def test_times_of_shared_devices_are_not_used(store):
    """A run that shared its device took longer than one would alone; it gives no cost."""
    finish(store, request(seeds=1), (0.9,), seconds=300.0, shared=True)
    (shared,) = cells_of(store, request())
    assert cost_of_runs(shared.runs, "cpu", device_name("cpu")) is None

    finish(store, request(seeds=[1]), (0.9,), seconds=30.0)
    (both,) = cells_of(store, request())
    assert 33.0 == cost_of_runs(both.runs, "cpu", device_name("cpu")).seconds


def test_cost_means_the_same_of_runs_and_of_probes(store):
    """A probe at the speed of a finished run costs what that run cost, without any start."""
    finish(store, request(seeds=1), (0.9,), seconds=60.0)
    (cell,) = cells_of(store, request())
    same = replace(MEASURED, seconds_per_evaluation=0.75, seconds_per_refresh=0.0)
    by_runs = cost_of_runs(cell.runs, "cpu", device_name("cpu"))
    by_probe = cost_of_probe(cell.spec, same)

    assert (63.0, 0.5) == (by_runs.seconds, by_runs.seconds_per_step)
    assert (63.0, 0.5) == (by_probe.seconds, by_probe.seconds_per_step)


@pytest.mark.parametrize(("every", "evaluations"), [(1, 4), (2, 3), (3, 2), (9, 2)])
def test_cost_of_a_probe_counts_steps_and_evaluations(every, evaluations):
    """All steps, an evaluation before training and at each due epoch, and refreshes."""
    spec = resolve(request(words=(f"protocol.evaluate_every={every}",)), CATALOGUE)[0]
    cost = cost_of_probe(spec, MEASURED)

    expected = 3 * 40 * 0.5 + evaluations * 2.0 + (evaluations - 1) * 3.0
    assert expected == cost.seconds


def test_runs_beat_probes(store, tmp_path):
    """What the store measured is taken, also where a probe of the same cell is kept."""
    finish(store, request(seeds=1), (0.9,))
    keeping = prober(store, tmp_path)
    keeping._keep(resolve(request(), CATALOGUE)[0], Probe(outcome="measured", measured=MEASURED))
    adam = resolve(request("adam"), CATALOGUE)[0]
    keeping._keep(adam, Probe(outcome="measured", measured=MEASURED))
    cells = cells_of(store, request(), request("adam"), request("lion"))
    found = with_costs(cells, keeping, probe=False, note=nothing)

    assert ["runs", "probe", None] == [cell.cost and cell.cost.origin for cell in found]


@pytest.mark.parametrize(
    ("words", "origin"), [(("lr=0.3",), "trials"), (("problem.batch_size=64",), None)]
)
def test_finished_trials_tell_what_the_seeds_of_their_cell_take(
    store, tmp_path, caplog, words, origin
):
    """A tuned cell needs no probe, whatever its setting; other cells, and torn records, nothing."""
    (tried,) = resolve(request(seeds=1, words=("lr=0.07",)), CATALOGUE)
    trial = replace(tried, seed=FIRST_TUNING_SEED)
    finish(store, [trial], (0.9,))
    study = {"problem": trial.problem.name, "optimizer": "sgd", "protocol": "standard"}
    missing, there = ({"runs": {"0": run}} for run in ("0" * 32, trial.fingerprint))
    (store.root / "tuning").mkdir()
    for name, record in {"a": {**study, "default": missing, "trials": [there]}, "b": study}.items():
        (store.root / "tuning" / f"{name}.json").write_text(json.dumps(record))
    (found,) = with_costs(
        cells_of(store, request(words=words)),
        prober(store, tmp_path),
        probe=False,
        note=nothing,
        store=store,
    )

    cost = found.cost and (found.cost.origin, found.cost.seconds, found.cost.peak_memory)
    assert (origin and (origin, 33.0, 512 * 2**20)) == cost
    assert "b.json is no record of a study" in caplog.text


def test_partly_trained_runs_have_less_left(store, tmp_path):
    """Of an interrupted run only the epochs that it lacks are planned."""
    finish(store, request(seeds=1), (0.9,), seconds=27.0)
    attempt = store.add(resolve(request(seeds=2), CATALOGUE)[1]).claim({})
    with attempt:
        for epoch in (0, 1):
            attempt.append({"epoch": epoch, "step": 40 * epoch, "train_seconds": 9.0 * epoch})
        attempt.close(RunState.INTERRUPTED)
    (cell,) = with_costs(
        cells_of(store, request(seeds=2)), prober(store, tmp_path), probe=False, note=nothing
    )

    assert [pytest.approx(20.0)] == cell.seconds_left


def test_detection_uses_pairs_of_the_store(store):
    """Three pairs give the deviation of a difference; Holm counts every rival of the table."""
    finish(store, request("momentum"), (0.90, 0.91, 0.92))
    finish(store, request("sgd"), (0.91, 0.90, 0.95))
    cells = cells_of(store, request("momentum"), request("sgd"), request("adam"))
    (found,) = detections(cells, CATALOGUE, [cells[0].spec.row])
    sd = statistics.stdev((0.01, -0.01, 0.03))

    assert (2, 3, "batch_norm momentum") == (found.rivals, found.pairs, found.reference)
    assert found.declared
    assert sd == pytest.approx(found.deviation.value)
    assert sd * detectable_effect(3, comparisons=2) == pytest.approx(found.difference)
    assert pairs_needed(0.005 / sd, comparisons=2) == found.pairs_needed


def test_deterministic_rivals_say_nothing_of_the_spread(store):
    """Differences that are all equal, up to rounding, add neither variance nor freedom."""
    finish(store, request("momentum"), (0.90, 0.91, 0.92))
    finish(store, request("sgd"), (0.91, 0.90, 0.95))
    finish(store, request("adam"), (0.93, 0.94, 0.95))  # differ by 0.03 up to rounding
    cells = cells_of(store, *map(request, ("momentum", "sgd", "adam")))
    (found,) = detections(cells, CATALOGUE)
    (alone,) = detections([cells[0], cells[2]], CATALOGUE)

    assert statistics.stdev((0.01, -0.01, 0.03)) == pytest.approx(found.deviation.value)
    assert "pairs in the store, 2 degrees of freedom" == found.deviation.source
    assert 2 == found.rivals
    assert alone.deviation is None


def test_tables_are_those_of_the_leaderboard(suite_plan, make_row):
    """A plan of any suite has the tables that a leaderboard makes of its rows."""
    cells = gather(suite_plan.requests, CATALOGUE, None)
    rows = [make_row(cell) for cell in cells]
    planned = {
        title: [cell.spec.row for cell in table] for title, table in tables_of(cells).items()
    }
    shown = {
        title: [row.row for row in members] for title, members in leaderboard_tables(rows).items()
    }

    assert not [cell.error for cell in cells if cell.error]
    assert dict(sorted(planned.items())) == shown
    assert list(planned) == [each.title for each in detections(cells, CATALOGUE)]


def test_other_batch_sizes_are_other_tables():
    """What a leaderboard keeps apart is planned apart, and the title says why."""
    plan = expand(find_suite("group_norm_study", CATALOGUE, Path()), CATALOGUE)
    tables = tables_of(gather(plan.requests, CATALOGUE, None))

    assert [2, 2, 2, 2, 2, 3] == sorted(map(len, tables.values()))
    assert "cifar10_resnet20 group_norm_study problem.batch_size=2" in tables


def test_detection_falls_back_to_published_spreads(store):
    """Two pairs are too few for a deviation: then √2 times the median of published spreads."""
    finish(store, request("momentum", seeds=2), (0.90, 0.91))
    finish(store, request("sgd", seeds=2), (0.91, 0.90))
    cells = cells_of(store, request("momentum"), request("sgd"))
    assert detections(cells, CATALOGUE)[0].deviation is None
    more = load_catalogue()
    more.add(Publication(name="mine", summary="", factory=published), "mine", "file")
    (found,) = detections(cells, more)

    assert math.sqrt(2) * 0.02 == pytest.approx(found.deviation.value)
    assert found.deviation.source.endswith(
        "3 published rows under the same rules (standard): A paper"
    )


def test_published_spreads_of_the_same_rules_come_first(store):
    """Rows of another protocol are taken only where there are none of the plan's."""
    more = load_catalogue()
    more.add(Publication(name="mine", summary="", factory=two_protocols), "mine", "file")
    own, other = (
        detections(cells_of(store, replace(request(), protocol=name)), more)[0].deviation
        for name in ("quick", "spherical")
    )

    assert math.sqrt(2) * 0.03 == pytest.approx(own.value)
    assert math.sqrt(2) * 0.025 == pytest.approx(other.value)
    assert "1 published rows under the same rules (quick)" in own.source
    assert "4 published rows under other rules (standard, quick)" in other.source


def two_protocols(name):
    """Return :func:`published`'s rows, and one under quick with the spread 0.03."""
    rows = published(name)
    return [*rows, replace(rows[0], protocol="quick", sd=0.03)]


def published(_name):
    """Return three rows with the spreads 0.01, 0.02 and 0.5, the second divided by n."""
    base = PublishedResult(
        problem="digits_cnn",
        norm="none",
        optimizer="sgd",
        protocol="standard",
        metric="test_accuracy",
        mean=0.9,
        label="not comparable",
        source=Source(title="A paper (2020)"),
    )
    by_n = replace(base, sd=0.02 * math.sqrt(4 / 5), n=5, spread="n")
    return [replace(base, sd=0.01), by_n, replace(base, sd=0.5), base]


def test_detection_without_any_spread_is_in_its_units(store):
    """Where nothing is known, it is in standard deviations, at the pairs that most rivals have."""
    rivals = [request("adam", seeds=3), request("lion", seeds=3), request("rmsprop", seeds=4)]
    cells = cells_of(store, request(seeds=5), *rivals)
    (found,) = detections(cells, CATALOGUE)

    assert (3, detectable_effect(3, comparisons=3)) == (found.pairs, found.effect)
    assert (None, None) == (found.difference, found.pairs_needed)


def test_reference_is_the_declared_row_or_the_usual_one(store):
    """By default it is the default norm with momentum or sgd, else the twin's, else the first."""
    none = [
        request(optimizer, problem="digits_cnn", norm="none")
        for optimizer in ("adam", "sgd", "momentum")
    ]

    def reference(*requests, declared=()):
        (found,) = detections(cells_of(store, *requests), CATALOGUE, declared)
        return found.reference

    assert "none momentum" == reference(*none)
    assert "none sgd" == reference(*none[:2])
    assert "batch_norm sgd" == reference(none[0], request())
    assert "none adam" == reference(none[0])
    assert "batch_norm sgd" == reference(
        *none, request(), declared=[resolve(request(), CATALOGUE)[0].row]
    )


@pytest.mark.parametrize(("devices", "expected"), [(1, 5), (2, 10), (3, 15), (8, 15)])
def test_checkpoints_are_of_runs_that_train_at_once(store, devices, expected):
    """No more than one on each device, nor more than runs are left; the largest counts for all."""
    sizes = [cost_of_probe(cell.spec, MEASURED) for cell in cells_of(store, request(seeds=1))]
    costs = [replace(sizes[0], checkpoint=size) for size in (5, 3)]
    cells = cells_of(store, request(seeds=1), request("adam", seeds=2))
    known = [cell.with_cost(cost) for cell, cost in zip(cells, costs, strict=True)]

    assert expected == disk_of(known, devices).checkpoints
    assert disk_of(cells, devices).checkpoints is None


def test_hard_links_take_disk_once(tmp_path):
    """A second name of a file adds nothing, as a published result is one of its attempt's."""
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    before = folder_bytes(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")

    assert before == folder_bytes(tmp_path)
    assert before >= 100_000


def test_disk_is_measured_where_runs_are_finished(store):
    """What finished runs take is taken for the others; the estimate is within a third of it."""
    finish(store, request(seeds=1), (0.9,))
    (cell,) = cells_of(store, request())
    path = cell.runs[0].run.path

    assert folder_bytes(path) == measured_bytes([path])
    # Folders for the runs; the launch, its logs, description and list; two files of each worker.
    around = {devices: (2 + 4 + 2 * devices) * 4096 for devices in (1, 2)}
    assert {devices: 2 * folder_bytes(path) + more for devices, more in around.items()} == {
        devices: disk_of([cell], devices, store.root).runs for devices in around
    }
    assert 1 == pytest.approx(estimated_bytes(cell.spec) / folder_bytes(path), abs=1 / 3)


def test_start_of_workers_is_what_the_last_ones_took(store):
    """The median of all launches that are remembered; unknown where no worker began."""
    asked = LaunchRequest(store=store.root, data_folder=store.root)
    before = measured_start(store.root)
    for number, seconds in enumerate((9.0, 2.0, 4.0, None)):
        logs = LaunchFolder.create("local", asked).logs
        Reporter(logs / f"worker-{number}.jsonl").tell("ready", start_seconds=seconds)

    assert (None, 4.0) == (before, measured_start(store.root))
    known = [
        cell.with_cost(cost_of_probe(cell.spec, MEASURED)) for cell in cells_of(store, request())
    ]
    plan = Forecast(
        cells=known, device="cpu", hardware="", devices=1, detections=(), disk=disk_of(known, 1)
    )
    assert 4.0 == pytest.approx(
        replace(plan, start_seconds=4.0).finish_seconds - plan.finish_seconds
    )


def test_probes_are_told_apart_by_what_a_step_costs(store, tmp_path):
    """Batch size, norm and optimizer make another probe; learning rate, epochs and seed do not."""
    probes = prober(store, tmp_path)

    def key(*args, **options):
        return probes.key(resolve(request(*args, **options), CATALOGUE)[-1])

    base = key()
    same = [key(words=("lr=0.3",)), key(words=("protocol.schedule=cosine",)), key(seeds=9)]
    other = [key("adam"), key(norm="group_norm"), key(words=("problem.batch_size=16",))]
    other.append(key(words=("protocol.precision=bf16",)))

    assert {base} == set(same)
    assert 5 == len({base, *other})


def test_probe_depends_on_no_seed(store, tmp_path):
    """All seeds of a row share a probe; another optimizer or ablation is another probe."""
    probes = prober(store, tmp_path)
    specs = resolve(request(seeds=[0, 7, 99_999]), CATALOGUE)
    found = {probes.key(spec) for spec in specs}

    assert 1 == len(found)
    others = (request("momentum"), replace(request(), ablation="fixed"))
    assert found.isdisjoint(probes.key(resolve(other, CATALOGUE)[0]) for other in others)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"outcome": "measured", "measured": {}}'])
def test_damaged_probe_is_made_again(store, tmp_path, text):
    """What cannot be read of a kept probe is as good as none."""
    spec, probes = resolve(request(), CATALOGUE)[0], prober(store, tmp_path)
    probes._keep(spec, Probe(outcome="measured", measured=MEASURED))
    assert asdict(MEASURED) == asdict(probes.known(spec).measured)
    probes._path(spec).write_text(text, encoding="utf-8")

    assert probes.known(spec) is None


def test_planning_adds_no_run(store, tmp_path):
    """After a whole plan the store holds the runs that it held before, and no new file."""
    finish(store, request(seeds=1), (0.9,))
    before = sorted(path for path in store.root.rglob("*") if path.name != "clock")
    plan = Plan(requests=(request(), request("adam")))
    found = forecast(
        plan,
        CATALOGUE,
        store,
        tmp_path,
        prober(store, tmp_path),
        devices=2,
        probe=False,
        note=nothing,
    )

    assert (6, 1, 5, 3) == (found.runs, found.count("done"), found.left, found.unknown)
    assert (66.0, 33.0) == (found.device_seconds, found.finish_seconds)
    assert before == sorted(path for path in store.root.rglob("*") if path.name != "clock")


def test_unwritable_store_costs_only_the_memory(store, tmp_path, monkeypatch, caplog):
    """Where probes cannot be kept, planning goes on and says it once."""

    def refuse(*_args, **_options):
        raise StoreError("the disk is full.")

    probes, specs = prober(store, tmp_path), resolve(request(), CATALOGUE)
    monkeypatch.setattr(RunStore, "open", refuse)
    for spec in specs:
        probes._keep(spec, Probe(outcome="measured", measured=MEASURED))

    assert ["probes are not kept: the disk is full."] == caplog.messages
