"""The same leaderboard from MLflow as from the run store, and what is said where it cannot be."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from normbench.errors import StoreError
from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.comparison import duel
from normbench.leaderboard.duels import duel_section
from normbench.leaderboard.formats import FORMATS
from normbench.leaderboard.grouping import Wanted, chosen_rows
from normbench.leaderboard.reading import Reader, StoreReader
from normbench.leaderboard.sections import report_sections
from normbench.plugins import Catalogue, load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore, StoredRun, merge_store
from normbench.store.declarations import Declaration, declare
from normbench.store.shown import Shown, add_shown
from normbench.tracking import reader as module
from normbench.tracking import sync
from normbench.tracking.backend import open_backend, own_uri
from normbench.tracking.entries import entries_in
from normbench.tracking.mirror import Mirror
from normbench.tracking.reader import MlflowReader

Result = Callable[..., dict[str, Any]]
CELLS: tuple[dict[str, Any], ...] = (
    {"problem": "digits_cnn", "optimizer": "momentum", "norm": "none"},
    {"problem": "digits_cnn", "optimizer": "momentum", "norm": "none", "words": ("lr=0.3",)},
    {"problem": "digits_cnn", "optimizer": "sgd", "norm": "none"},
    {"problem": "digits_cnn", "optimizer": "momentum", "norm": "batch_norm"},
    {"problem": "digits_cnn", "optimizer": "sgd", "norm": "batch_norm"},
    {
        "problem": "digits_cnn",
        "optimizer": "sgd",
        "norm": "batch_norm",
        "words": ("ablation.scale_init=0.1",),
    },
    {"problem": "quadratic_deep", "optimizer": "momentum"},
    {"problem": "quadratic_deep", "optimizer": "adam"},
)
SEEDS = 5
OUTCOMES = {0: "diverged", 7: "failed", 13: "killed"}
PENDING = {4, 22}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def specs(catalogue: Catalogue, cell: dict[str, Any], seeds: Any = SEEDS) -> list[RunSpec]:
    return resolve(Request(**cell, seeds=seeds), catalogue)


@pytest.fixture
def publish(result: Result) -> Callable[..., StoredRun]:
    """Let a run end with a score of its own, at a time and a place of its own."""
    return lambda store, spec, *words, **values: _publish(store, spec, result, *words, **values)


def _publish(
    store: RunStore,
    spec: RunSpec,
    result: Result,
    score: float,
    outcome: str = "finished",
    device: str = "one",
    **values: Any,
) -> StoredRun:
    run = store.add(spec)
    where = {"hardware": {"device": device}, "versions": {"torch": "2.15"}, "command": [str(score)]}
    attempt = run.claim(where)
    assert attempt is not None
    with attempt:
        if outcome not in ("finished", "diverged"):
            attempt.close(RunState(outcome), "it broke")
            return run
        made = result(spec.seed, 3, outcome)
        metric = spec.problem.metric
        part, _, quantity = metric.name.partition("_")
        last = {**made["final"], part: {**made["final"][part], quantity: score}}
        own = metric.worst if outcome == "diverged" else score
        known = {"metric": metric.name, "score": own, "final": last, "best": last}
        attempt.publish({**made, **known, "train_seconds": 1.0 + score / 3, **values})
    return run


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, template: Path, catalogue: Catalogue, result: Result
) -> RunStore:
    """A store of two problems with all that can become of a run, copied to its own MLflow."""
    store = RunStore.open(tmp_path_factory.mktemp("filled") / "runs", create=True)
    shutil.copyfile(template, store.root / "mlflow.db")
    chance = random.Random(5)
    made = [spec for cell in CELLS for spec in specs(catalogue, cell)]
    for number, spec in enumerate(made):
        if number in PENDING:
            store.add(spec)
        else:
            score, outcome = 0.9 + chance.gauss(0, 0.01), OUTCOMES.get(number, "finished")
            _publish(store, spec, result, score, outcome)
    for spec in specs(catalogue, CELLS[7] | {"words": ("lr=0.5",)}, 2):
        store.add(spec)
    trial = specs(catalogue, CELLS[0] | {"words": ("lr=0.7",)}, 1)[0]
    _publish(store, replace(trial, seed=100_000), result, 0.5)
    with mock.patch.dict(os.environ, {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        sync(store, uri=own_uri(store))
    return store


def everything(reader: Reader, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield what all commands show in all formats."""
    wanted = Wanted()
    boards = make_boards(reader, catalogue, wanted)
    sections = {"leaderboard": report_sections(boards, catalogue)}
    for factor in ("norm", "optimizer"):
        found = make_ablations(reader, catalogue, Wanted(problems=("digits_cnn",)), factor, None)
        sections[factor] = [ablation_section(each, "holm") for each in found]
    rows = [row for row in chosen_rows(reader, catalogue, wanted) if row.norm == "batch_norm"]
    sections["compare"] = [duel_section(duel(rows[0], rows[1], reader, None, alpha=0.05))]
    for metric in ("test_loss", "train_seconds"):
        other = replace(wanted, metric=metric, problems=("digits_cnn",), since=1.75e9 + 100)
        sections[metric] = report_sections(make_boards(reader, catalogue, other))
    for name, shown in sections.items():
        yield f"{name} table", repr([(each.sheets, each.lines) for each in shown])
        for shape, form in FORMATS.items():
            yield f"{name} {shape}", form(shown)


def test_every_command_and_format_shows_the_same(filled: RunStore, catalogue: Catalogue) -> None:
    """Diverged, failed, killed and pending runs, settings and ablations: equal to the digit."""
    from_store = dict(everything(StoreReader(filled), catalogue))

    from_mlflow = dict(everything(MlflowReader(own_uri(filled)), catalogue))

    assert from_store.keys() == from_mlflow.keys()
    for name, text in from_store.items():
        assert text == from_mlflow[name], name
    assert "diverged" in from_store["leaderboard json"]


def test_rows_results_and_environments_are_equal(filled: RunStore) -> None:
    """Rows with pending and tuning runs, each digit of results, and where they were trained."""
    from_store, from_mlflow = StoreReader(filled), MlflowReader(own_uri(filled))

    rows = from_store.rows()

    assert rows == from_mlflow.rows()
    names = [run.fingerprint for row in rows for run in row.runs.values()]
    done = [name for name in names if name in from_store.results(names)]
    assert from_store.results(names) == from_mlflow.results(names)
    assert done
    assert from_store.environments(done) == from_mlflow.environments(done)
    assert {}.keys() == from_mlflow.results(["f" * 32]).keys()


def test_rows_on_many_pages_are_all_read(filled: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two rows give what one page gives."""
    monkeypatch.setattr(module, "_PAGE", 2)

    rows = MlflowReader(own_uri(filled)).rows()

    assert StoreReader(filled).rows() == rows


def test_only_the_problems_wanted_are_read(filled: RunStore) -> None:
    """A problem that is there is read alone; one that is not leaves all to say what there is."""
    uri = own_uri(filled)

    chosen = MlflowReader(uri, problems=("quadratic_deep",)).rows()

    assert {"quadratic_deep"} == {row.problem for row in chosen}
    assert StoreReader(filled).rows() == MlflowReader(uri, problems=("mistyped",)).rows()


def test_two_stores_that_feed_one_server_are_read_as_one(
    store: RunStore,
    tmp_path: Path,
    other_uri: str,
    catalogue: Catalogue,
    publish: Callable[..., StoredRun],
) -> None:
    """One seed trained twice, one still waiting, a row that others begin anew: as if merged."""
    elsewhere = RunStore.open(tmp_path / "elsewhere", create=True)
    made = specs(catalogue, CELLS[0])
    for place, trained, score in ((store, made[:3], 0.91), (elsewhere, made[2:], 0.92)):
        for spec in trained:
            publish(place, spec, score + spec.seed / 700, finished_at=1e9 * score)
    store.add(made[4])
    sync(store, uri=other_uri)
    client = open_backend(store, other_uri).client
    (begun,) = _rows_in(client)
    for place in (elsewhere, store):
        sync(place, uri=other_uri)
    for start in (1, 2**42):
        tags = begun.data.tags
        client.create_run(begun.info.experiment_id, start_time=start, tags=tags)

    rows = MlflowReader(other_uri).rows()

    merge_store(store.root, elsewhere)
    assert StoreReader(elsewhere).rows() == rows
    assert 0.92 + 2 / 700 == rows[0].scores[2]


def test_rows_that_nobody_began_are_expected_in_mlflow_too(
    store: RunStore, catalogue: Catalogue, publish: Callable[..., StoredRun]
) -> None:
    """A row of waiting runs alone is there, and gets its results with the next copy."""
    made = specs(catalogue, CELLS[0], 2)
    for spec in made:
        store.add(spec)
    sync(store)
    before = MlflowReader(own_uri(store)).rows()
    publish(store, made[0], 0.9)

    sync(store)

    assert [{0, 1}] == [set(row.missing) for row in before]
    assert StoreReader(store).rows() == MlflowReader(own_uri(store)).rows()


def test_what_an_older_version_copied_is_completed_once(
    filled: RunStore, count_runs: Callable[[RunStore], int]
) -> None:
    """Rows without what a leaderboard needs are named with the fix, which makes no run twice."""
    uri = own_uri(filled)
    client = open_backend(filled).client
    for row in _rows_in(client):
        for name in [name for name in row.data.tags if name.startswith("mlflow.normbench.")]:
            client.delete_tag(row.info.run_id, name)
    runs = count_runs(filled)

    with pytest.raises(StoreError, match=r"older normbench .* normbench sync"):
        MlflowReader(uri).rows()
    sync(filled)

    assert StoreReader(filled).rows() == MlflowReader(uri).rows()
    assert runs == count_runs(filled)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-20], "cannot be read.*damaged.*normbench sync"),
        (lambda text: text.replace('"schema":1', '"schema":9'), "newer normbench.*Upgrade"),
        (lambda _: "deflate 3", "is not whole.*normbench sync"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_fix(
    change: Callable[[str], str],
    words: str,
    store: RunStore,
    catalogue: Catalogue,
    publish: Callable[..., StoredRun],
) -> None:
    """A tag that was cut, one of a later version, and one whose parts are gone."""
    publish(store, specs(catalogue, CELLS[0], 1)[0], 0.9)
    sync(store)
    client = open_backend(store).client
    row = _rows_in(client)[0]
    name = "mlflow.normbench.seed.0"
    client.set_tag(row.info.run_id, name, change(row.data.tags[name]))

    with pytest.raises(StoreError, match=words):
        MlflowReader(own_uri(store)).rows()


def test_a_damaged_entry_is_written_anew(
    store: RunStore, catalogue: Catalogue, publish: Callable[..., StoredRun]
) -> None:
    """The advice to copy again helps."""
    publish(store, specs(catalogue, CELLS[0], 1)[0], 0.9)
    sync(store)
    client = open_backend(store).client
    client.set_tag(_rows_in(client)[0].info.run_id, "mlflow.normbench.seed.0", "{")

    sync(store)

    assert StoreReader(store).rows() == MlflowReader(own_uri(store)).rows()


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("file", ["result.json", "spec.json"])
def test_a_damaged_run_is_missing_on_both_sides(
    store: RunStore,
    catalogue: Catalogue,
    publish: Callable[..., StoredRun],
    file: str,
    copied: bool,
) -> None:
    """Its seed is planned and without a result, unless it was copied whole: that copy stays."""
    runs = [publish(store, spec, 0.9) for spec in specs(catalogue, CELLS[0], 3)]
    if copied:
        sync(store)
    (runs[1].path / file).write_text("{")
    told = sync(store)

    (here,), (there,) = StoreReader(store).rows(), MlflowReader(own_uri(store)).rows()

    assert (1, (1,), (1,)) == (told.failed, here.missing, here.unread)
    assert runs[1].fingerprint in here.runs[1]
    assert (here == there) is not copied
    assert ((), 3) == (there.missing, len(there.scores)) if copied else here == there


def test_entries_of_any_length_arrive_whole(
    store: RunStore, catalogue: Catalogue, publish: Callable[..., StoredRun]
) -> None:
    """A result of 100 kB of random digits comes back as it is, in tags of 5000 characters."""
    digits = random.Random(3).randbytes(50_000).hex()
    run = publish(store, specs(catalogue, CELLS[0], 1)[0], 0.9, note=f"{digits} é")

    sync(store)

    tags = _rows_in(open_backend(store).client)[0].data.tags
    assert max(len(value) for value in tags.values()) <= 5000
    assert [run.result()] == [entry.result for entry in entries_in(tags)]


def test_declared_stages_come_along(
    store: RunStore,
    tmp_path: Path,
    other_uri: str,
    catalogue: Catalogue,
    publish: Callable[..., StoredRun],
) -> None:
    """They are applied as from the store; seeds of a store that knew nothing of them mark them.

    So are the tables that were shown, whichever store they were shown from.
    """
    made = specs(catalogue, CELLS[0])
    declared = Declaration(row=made[0].row, stages=(5,), seeds=tuple(range(5)), declared_at=2e9)
    declare(store.root, declared)
    for spec in made:
        publish(store, spec, 0.9 + spec.seed / 300, finished_at=2e9 + 1)
    elsewhere = RunStore.open(tmp_path / "elsewhere", create=True)
    publish(elsewhere, made[1], 0.8, finished_at=2e9 + 9)
    tables = (Shown(1e9, "", made[0].row, 5), Shown(2e9, "X", "another", 7))
    for place, (at, name, reference, pairs) in zip((elsewhere, store), tables, strict=True):
        add_shown(place.root, at, name, reference, {made[0].row: pairs})
    sync(store)
    first = MlflowReader(own_uri(store)).rows()

    seen = []
    for place in (elsewhere, store):
        sync(place, uri=other_uri)
        seen.append(MlflowReader(other_uri).rows()[0].declared)

    assert StoreReader(store).rows() == first
    assert tables[1:] == first[0].shown
    assert tables == MlflowReader(other_uri).rows()[0].shown
    assert declared == first[0].declared
    assert [None, replace(declared, late=True)] == seen


def test_of_two_declarations_the_earlier_stands(
    store: RunStore,
    tmp_path: Path,
    other_uri: str,
    catalogue: Catalogue,
    publish: Callable[..., StoredRun],
) -> None:
    """Whichever of two stores is copied last."""
    spec = specs(catalogue, CELLS[0], 1)[0]
    elsewhere = RunStore.open(tmp_path / "elsewhere", create=True)
    for place, moment in ((store, 2e9), (elsewhere, 1e9)):
        seeds = tuple(range(5))
        declare(place.root, Declaration(row=spec.row, stages=(5,), seeds=seeds, declared_at=moment))
        publish(place, spec, 0.9)

    seen = []
    for place in (store, elsewhere, store):
        sync(place, uri=other_uri)
        seen.append(MlflowReader(other_uri).rows()[0].declared.declared_at)

    assert [2e9, 1e9, 1e9] == seen


def test_what_is_declared_later_reaches_a_row_that_was_copied_before(
    store: RunStore, catalogue: Catalogue
) -> None:
    """A collector that copied the row already, and no run of it since, sends the declaration."""
    spec = specs(catalogue, CELLS[0], 1)[0]
    store.add(spec)
    mirror = Mirror(store, own_uri(store))
    mirror.update()
    declare(store.root, Declaration(row=spec.row, stages=(2,), seeds=(0, 1), declared_at=2e9))

    mirror.update()

    rows = MlflowReader(own_uri(store)).rows()
    assert StoreReader(store).rows() == rows
    assert (2,) == rows[0].declared.stages


def test_a_row_is_described_by_its_lowest_seed(
    store: RunStore, catalogue: Catalogue, publish: Callable[..., StoredRun]
) -> None:
    """Of seeds whose specs differ in what is no part of the row, the first one speaks."""
    for spec, origin in zip(
        specs(catalogue, CELLS[1], 3), ("published", "given", "known"), strict=True
    ):
        publish(store, replace(spec, setting_origin=origin), 0.9)
    sync(store)

    rows = MlflowReader(own_uri(store)).rows()

    assert ["published"] == [row.setting_origin for row in rows]
    assert StoreReader(store).rows() == rows


def test_settings_tuned_in_the_store_are_known_without_it(
    store: RunStore, catalogue: Catalogue, publish: Callable[..., StoredRun]
) -> None:
    """A row is the tuned one of its cell for whoever reads MLflow alone."""
    cell = CELLS[1]
    publish(store, specs(catalogue, cell, 1)[0], 0.9)
    folder = store.root / "settings"
    folder.mkdir()
    (folder / "digits_cnn-none-momentum-standard-abc.toml").write_text(SETTINGS)
    sync(store)
    reader = MlflowReader(own_uri(store))

    alone = catalogue.with_settings(reader.settings())

    own = chosen_rows(StoreReader(store), catalogue.with_store(store.root), Wanted())
    assert own == chosen_rows(reader, alone, Wanted())
    assert ["known"] == [row.setting_origin for row in own]


SETTINGS = """
[origin]
kind = "known"
source = "a study"
tuned_on = "digits"
budget = "9 trials"
seeds = 1

[[setting]]
problem = "digits_cnn"
norm = "none"
optimizer = "momentum"
protocol = "standard"
values = { lr = 0.3 }
"""


def _rows_in(client: Any) -> list[Any]:
    found = client.search_experiments(filter_string="name LIKE 'normbench/%'")
    ids = [experiment.experiment_id for experiment in found]
    return list(client.search_runs(ids, "tags.`normbench.kind` = 'row'"))
