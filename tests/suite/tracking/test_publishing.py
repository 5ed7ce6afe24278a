"""Leaderboards in MLflow: rows, revisions, files, views and the note."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import math
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from normbench.cli import cli
from normbench.errors import BusyError, StoreError
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.page import assembling
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.records import flat_records
from normbench.leaderboard.sections import report_sections
from normbench.leaderboard.sheets import main_cells
from normbench.plugins import Catalogue, load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.tracking import board_files, publishing, revisions, server, sync, views
from normbench.tracking.backend import Backend, open_backend
from normbench.tracking.published import Published, PublishedBoard
from normbench.tracking.publishing import publish

HOME = "normbench/digits_cnn/quick"
MEANS = {("none", "momentum"): 0.90, ("batch_norm", "momentum"): 0.96, ("none", "sgd"): 0.91}
SEEDS = 5
Publish = Callable[..., Published]
RESULT = {
    "metric": "test_accuracy",
    "epochs": 2,
    "train_seconds": 1.0,
    "time_to_target": {"target": None, "reached": False},
    "finished_at": 1e9,
}
WRITING = ("create_", "log_", "set_", "delete_", "update_")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


def add_row(
    store: RunStore, catalogue: Catalogue, norm: str, optimizer: str, mean: float, **names: Any
) -> None:
    """Add the runs of a row with results around a mean."""
    values = {"problem": "digits_cnn", "protocol": "quick", "seeds": SEEDS, **names}
    diverged = values.pop("diverged", ())
    noise = random.Random(f"{norm} {optimizer}")
    for spec in resolve(Request(norm=norm, optimizer=optimizer, **values), catalogue):
        score = 0.1 if spec.seed in diverged else mean + noise.gauss(0, 0.005)
        part = {"loss": 1 - score, "accuracy": score}
        last = {"epoch": 2, "validation": part, "test": part}
        ended = {"outcome": "diverged" if spec.seed in diverged else "finished", "score": score}
        attempt = store.add(spec).claim({"hardware": {"device": "one"}})
        with attempt:
            attempt.append({**last, "step": 2, "time": 1e9})
            attempt.publish({**RESULT, **ended, "final": last, "best": last})


@pytest.fixture
def add(store: RunStore, catalogue: Catalogue) -> Callable[..., None]:
    """Adds the runs of a row to the store."""
    return functools.partial(add_row, store, catalogue)


@pytest.fixture(scope="module")
def copied(
    tmp_path_factory: pytest.TempPathFactory, template: Path, catalogue: Catalogue
) -> RunStore:
    """A store with three rows of five seeds that MLflow holds; the tests work on copies of it."""
    made = RunStore.open(tmp_path_factory.mktemp("copied") / "runs", create=True)
    shutil.copyfile(template, made.root / "mlflow.db")
    for (norm, optimizer), mean in MEANS.items():
        add_row(made, catalogue, norm, optimizer, mean)
    sync(made)
    return made


@pytest.fixture
def filled(store: RunStore, copied: RunStore) -> RunStore:
    """A store with three rows of five seeds, and its MLflow."""
    shutil.copytree(copied.root, store.root, dirs_exist_ok=True)
    places = (f"file://{copied.root}", f"file://{store.root}")
    with contextlib.closing(sqlite3.connect(store.root / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            statement = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608
            database.execute(statement, places)
    return store


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out, of the page too: drawing takes a second."""
    monkeypatch.setattr(board_files, "_draw", lambda *_: None)
    monkeypatch.setattr(assembling, "pictures_of", lambda _: [])


@pytest.fixture
def put(store: RunStore, catalogue: Catalogue, no_figures: None) -> Publish:
    """Makes the leaderboard of the store and publishes it."""

    def make(*, suite: str = "", uri: str | None = None, wait: float = 5.0, **wanted: Any):
        boards = make_boards(StoreReader(store), catalogue, Wanted(**wanted))
        sections = report_sections(boards)
        return publish(boards, sections, store, suite=suite, uri=uri, wait=wait)

    return make


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the writing calls that publishing makes."""
    made: list[str] = []
    counted(monkeypatch, made.append)
    return made


def counted(patch: pytest.MonkeyPatch, hear: Callable[[str], None]) -> None:
    """Let *hear* know of every writing call of the publisher, before it is made."""

    class Heard:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._client, name)
            if not name.startswith(WRITING):
                return method

            def call(*words: Any, **named: Any) -> Any:
                hear(name)
                return method(*words, **named)

            return call

    def opened(store: RunStore, uri: str | None = None) -> Backend:
        backend = open_backend(store, uri)
        return replace(backend, client=Heard(backend.client))

    patch.setattr(publishing, "open_backend", opened)


def runs(store: RunStore, kind: str, experiment: str = HOME) -> list[Any]:
    """Return MLflow's runs of a kind, those with a rank in its order."""
    client = open_backend(store).client
    found = client.get_experiment_by_name(experiment)
    held = client.search_runs([found.experiment_id], f"tags.`normbench.kind` = '{kind}'")
    return sorted(held, key=lambda run: run.data.metrics.get("lb/rank", math.inf))


def tags_of(store: RunStore, experiment: str = HOME) -> dict[str, str]:
    return dict(open_backend(store).client.get_experiment_by_name(experiment).tags)


def shown(run: Any) -> dict[str, str]:
    return {name: text for name, text in run.data.tags.items() if name.startswith("lb.")}


def folder_of(store: RunStore, run_id: str) -> Path:
    return Path(open_backend(store).client.download_artifacts(run_id, "leaderboard"))


def test_rows_carry_the_numbers_of_the_table(
    filled: RunStore, put: Publish, catalogue: Catalogue
) -> None:
    """Each row's metrics are the table's numbers to five digits, at the revision's step."""
    put()
    board = make_boards(StoreReader(filled), catalogue, Wanted())[0]
    headings, records = flat_records(board)
    client = open_backend(filled).client

    rows = runs(filled, "row")
    assert len(MEANS) == len(rows)
    for run, values in zip(rows, records, strict=True):
        record = dict(zip(headings, values, strict=True))
        metrics = run.data.metrics
        assert record["row"] == run.data.tags["normbench.row"]
        assert record["rank"] == metrics["lb/rank"]
        assert pytest.approx(record["mean"], rel=1e-4) == metrics["lb/score"]
        assert [1] == [p.step for p in client.get_metric_history(run.info.run_id, "lb/score")]
        if record["verdict"] == "reference":
            assert "lb/p_holm" not in metrics
        else:
            assert float(f"{record['p_adjusted']:.5g}") == metrics["lb/p_holm"]
            assert float(f"{record['difference']:.5g}") == metrics["lb/delta"]


def test_rows_carry_the_texts_of_the_terminal(
    filled: RunStore, put: Publish, catalogue: Catalogue
) -> None:
    """They read as in the terminal's table; what an earlier reference left there is gone."""
    put(reference="batch_norm")
    board = put().boards[0]
    cells = main_cells(make_boards(StoreReader(filled), catalogue, Wanted())[0])

    for run, line in zip(runs(filled, "row"), cells, strict=True):
        said = shown(run)
        expected = {
            "lb.ranks": line.rank,
            "lb.score": line.score,
            "lb.difference": line.difference,
            "lb.p": line.p,
            "lb.verdict": line.verdict,
            "lb.letters": line.letters,
            "lb.board_run": board.run_id,
        }
        assert {name: text for name, text in expected.items() if text} == {
            name: text for name, text in said.items() if name != "lb.board"
        }


def test_publishing_again_writes_nothing(filled: RunStore, put: Publish, writes: list[str]) -> None:
    """The same leaderboard a second time makes no writing call and names the same run."""
    first = put().boards[0]
    assert writes
    writes.clear()

    second = put().boards[0]

    assert [] == writes
    assert replace(first, done="unchanged") == second
    assert "new" == first.done


def test_a_changed_leaderboard_is_a_new_revision(
    filled: RunStore, put: Publish, add: Callable[..., None]
) -> None:
    """It supersedes the older one, which stays with its files; rows keep both ranks."""
    put()
    add("batch_norm", "sgd", 0.99)
    put()
    client = open_backend(filled).client

    older, newer = sorted(runs(filled, "leaderboard"), key=lambda run: run.info.start_time)
    momentum = next(run for run in runs(filled, "row") if "norm+mom" in run.info.run_name)
    ranks = client.get_metric_history(momentum.info.run_id, "lb/rank")

    assert ["1", "2"] == [run.data.tags["normbench.revision"] for run in (older, newer)]
    assert older.info.run_id == newer.data.tags["normbench.supersedes"]
    assert "FINISHED" == older.info.status == newer.info.status
    assert [(1, 1.0), (2, 2.0)] == sorted((point.step, point.value) for point in ranks)
    assert (
        "batch_norm"
        not in (folder_of(filled, older.info.run_id) / "leaderboard.csv")
        .read_text(encoding="utf-8")
        .split("sgd")[0]
        .splitlines()[-1]
    )


def test_a_row_that_left_loses_its_texts(filled: RunStore, put: Publish) -> None:
    """Published without it, the row is in no view, and has numbers in its history alone."""
    put()
    for run in filled.runs():
        if run.spec.norm.name == "batch_norm":
            shutil.rmtree(filled.root / "runs" / run.fingerprint[:2] / run.fingerprint)
    put()

    left = [run for run in runs(filled, "row") if not shown(run)]

    assert ["batch_norm+momentum"] == [run.info.run_name for run in left]
    assert 2 == len([run for run in runs(filled, "row") if shown(run)])
    gone = {name: value for name, value in left[0].data.metrics.items() if "lb/" in name}
    assert "lb/rank" in gone
    assert all(map(math.isnan, gone.values()))
    client = open_backend(filled).client
    history = client.get_metric_history(left[0].info.run_id, "lb/rank")
    assert [1, 2] == sorted(point.step for point in history)


def test_an_interrupted_publication_is_completed(
    filled: RunStore, catalogue: Catalogue, no_figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call was the last, publishing again gives one finished revision with all in it."""
    boards = make_boards(StoreReader(filled), catalogue, Wanted())
    sections = report_sections(boards)
    made = failed = 0

    def hear(_name: str) -> None:
        nonlocal made
        made += 1
        # The files are sent again each time, so that each time one more call is made.
        if made > 2:
            raise OSError("the cable was pulled")

    with monkeypatch.context() as patch:
        counted(patch, hear)
        done = None
        while done is None:
            made = 0
            try:
                done = publish(boards, sections, filled, copy=False).boards[0]
            except StoreError:
                failed += 1
                assert failed < 40

    assert failed > 8
    assert ("new", 1) == (done.done, done.revision)
    held = runs(filled, "leaderboard")
    assert ["FINISHED"] == [run.info.status for run in held]
    assert {held[0].info.run_id} == {shown(run)["lb.board_run"] for run in runs(filled, "row")}
    assert "Leaderboard" in tags_of(filled)[views.NOTE]
    again = publish(boards, sections, filled, copy=False).boards[0]
    assert "unchanged" == again.done


def test_two_publishers_of_one_revision_agree(
    filled: RunStore, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another store's publisher begins the same revision first, ours goes on with that one."""
    plain, begun = revisions._create, []

    def late(*given: Any) -> str:
        begun.append(plain(*given))
        return plain(*given)

    monkeypatch.setattr(revisions, "_create", late)

    done = put().boards[0]

    held = runs(filled, "leaderboard")
    assert 1 == len(held)
    assert held[0].info.run_id == done.run_id
    assert ("FINISHED", "1") == (held[0].info.status, held[0].data.tags["normbench.revision"])


def test_two_publishers_of_different_leaderboards_get_two_numbers(
    filled: RunStore, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another one begins a different revision at the same time, the numbers differ."""
    plain = revisions._create

    def late(backend: Any, experiment: str, given: Any, *rest: Any) -> str:
        plain(backend, experiment, replace(given, digest="another"), *rest)
        return plain(backend, experiment, given, *rest)

    monkeypatch.setattr(revisions, "_create", late)

    done = put().boards[0]

    numbers = [run.data.tags["normbench.revision"] for run in runs(filled, "leaderboard")]
    assert {"1", "2"} == set(numbers)
    assert 2 == len(numbers)
    assert done.revision in (1, 2)


def test_the_files_show_one_object(filled: RunStore, put: Publish, catalogue: Catalogue) -> None:
    """JSON, CSV, the table and the pairs hold the numbers of the board, digit for digit."""
    folder = folder_of(filled, put().boards[0].run_id)
    board = make_boards(StoreReader(filled), catalogue, Wanted())[0]
    record = json.loads((folder / "full.json").read_text(encoding="utf-8"))[0]
    with (folder / "pairs.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))

    assert [entry.mean for entry in board.entries] == [e["mean"] for e in record["entries"]]
    values = {(pair["row"], int(pair["seed"])): float(pair["value"]) for pair in pairs}
    assert {(e.row.row, s): v for e in board.entries for s, v in e.values.items()} == values
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert [cells.verdict for cells in main_cells(board)] == [
        row[table["columns"].index("verdict")] for row in table["data"]
    ]
    assert board.digest in (folder / "leaderboard.html").read_text(encoding="utf-8")
    assert 1 + len(board.entries) == len((folder / "leaderboard.csv").read_text().splitlines())


def test_the_report_links_to_the_rows(filled: RunStore, put: Publish) -> None:
    """Each row of the Markdown table leads to its run."""
    done = put().boards[0]
    text = (folder_of(filled, done.run_id) / "leaderboard.md").read_text(encoding="utf-8")

    for run in runs(filled, "row"):
        place = f"](#/experiments/{done.experiment_id}/runs/{run.info.run_id}?"
        assert 2 == text.count(place)


def test_figures_are_among_the_files(
    filled: RunStore, catalogue: Catalogue, tmp_path: Path
) -> None:
    """The forest of differences is there as SVG and as PNG."""
    sections = report_sections(make_boards(StoreReader(filled), catalogue, Wanted()))

    board_files.write_files(tmp_path, "digits", sections, {})

    drawn = {path.name for path in tmp_path.iterdir() if path.suffix in (".svg", ".png")}
    assert {"forest-digits_cnn-quick.svg", "forest-digits_cnn-quick.png"} <= drawn
    assert "<script" not in (tmp_path / "forest-digits_cnn-quick.svg").read_text(encoding="utf-8")


def test_nothing_that_is_not_finite_is_written(
    store: RunStore, add: Callable[..., None], put: Publish
) -> None:
    """A row whose every seed diverged and one of two seeds have finite metrics only."""
    add("none", "momentum", 0.9)
    add("batch_norm", "momentum", 0.9, diverged=range(SEEDS))
    add("group_norm", "momentum", 0.9, seeds=2)
    put()

    rows = runs(store, "row")
    assert 3 == len(rows)
    assert all(math.isfinite(value) for run in rows for value in run.data.metrics.values())
    diverged = next(run for run in rows if "batch_norm" in run.info.run_name)
    assert SEEDS == diverged.data.metrics["lb/n_diverged"]


def test_the_views_show_the_leaderboard(filled: RunStore, put: Publish) -> None:
    """All views are there by name, and the first sorts the board's rows by rank."""
    done = put().boards[0]
    tags = tags_of(filled)
    found = {
        name: state
        for key, value in tags.items()
        if key.startswith("mlflow.sharedViewState.")
        for name, state in [views.unpacked(value)]
    }
    board = shown(runs(filled, "row")[0])["lb.board"]

    assert {"Leaderboard", "Norm ablation", "Optimizers", "Curves", "Diverged", "Incomplete"} | {
        "Runs"
    } == set(found)
    state = found["Leaderboard"]
    assert f"tags.`lb.board` = '{board}'" == state["searchFilter"]
    assert ("metrics.`lb/rank`", True) == (state["orderByKey"], state["orderByAsc"])
    assert f"mlflow.sharedViewState.{done.view}" in tags
    assert found["Norm ablation"]["searchFilter"].endswith("`normbench.optimizer` = 'momentum'")
    assert found["Optimizers"]["searchFilter"].endswith("`normbench.norm` = 'none'")


def test_every_metric_of_a_row_has_a_chart_or_none(filled: RunStore, put: Publish) -> None:
    """What is not drawn is hidden: the page gives every other metric a chart of its own."""
    done = put().boards[0]
    state = views.unpacked(tags_of(filled)[f"mlflow.sharedViewState.{done.view}"])[1]
    drawn = [c["metricKey"] for c in state["compareRunCharts"] if not c["deleted"]]

    metrics = {name for run in runs(filled, "row") for name in run.data.metrics}
    assert ["lb/score", "lb/delta"] == drawn
    assert metrics <= {chart["metricKey"] for chart in state["compareRunCharts"]}


def test_the_note_names_the_winner_and_links(
    filled: RunStore, put: Publish, catalogue: Catalogue
) -> None:
    """Its first line leads to table, charts and report, and says in words who wins."""
    done = put().boards[0]
    first = tags_of(filled)[views.NOTE].splitlines()[0]

    assert all(f"]({link})" in first for link in done.links("").values())
    assert "batch_norm with momentum" in first
    assert conclusion(make_boards(StoreReader(filled), catalogue, Wanted())[0])[:80] in first


def test_a_note_of_a_user_is_kept_when_publishing(filled: RunStore, put: Publish) -> None:
    """A user's text stays below our part, and publishing again does not repeat our part."""
    sync(filled)
    client = open_backend(filled).client
    home = client.get_experiment_by_name(HOME).experiment_id
    client.set_experiment_tag(home, views.NOTE, "Lab meeting on Friday.")
    put()
    put(reference="none+sgd")

    note = tags_of(filled)[views.NOTE]
    assert note.endswith("Lab meeting on Friday.")
    assert 1 == note.count("[report]")


def test_a_view_that_people_changed_or_deleted_stays_so(filled: RunStore, put: Publish) -> None:
    """Only what we wrote and nobody touched is brought up to date."""
    done = put().boards[0]
    client = open_backend(filled).client
    keys = [k for k in tags_of(filled) if k.startswith("mlflow.sharedViewState.normbench-norm")]
    changed, deleted = f"mlflow.sharedViewState.{done.view}", keys[0]
    client.set_experiment_tag(done.experiment_id, changed, "mine")
    client.delete_experiment_tag(done.experiment_id, deleted)

    put(reference="none+sgd")

    assert "mine" == tags_of(filled)[changed]
    assert deleted not in tags_of(filled)


def test_an_old_server_gets_plain_links(
    filled: RunStore, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pages know no named views, the note still leads to the report."""
    monkeypatch.setattr(Backend, "_version", lambda self: "3.14.0")

    done = put().boards[0]

    tags = tags_of(filled)
    assert not [key for key in tags if "View" in key and "leaderboard" in key]
    assert {"report"} == set(done.links(""))
    assert done.links("")["report"] in tags[views.NOTE]


def test_while_another_process_copies_its_results_are_awaited(
    filled: RunStore, add: Callable[..., None], put: Publish
) -> None:
    """With an open `normbench ui`, publishing waits until it has copied what is to be shown."""
    add("group_norm", "sgd", 0.9)
    lacking = pytest.raises(BusyError, match="MLflow still lacks results of")
    with filled.lock("collector", wait=0.0), lacking:
        put(wait=0.0)
    held = threading.Event()

    def ui() -> None:
        with filled.lock("collector", wait=0.0):
            held.set()
            from normbench.tracking.mirror import Mirror

            Mirror(filled).update()

    thread = threading.Thread(target=ui)
    thread.start()
    held.wait()
    done = put(wait=60.0)
    thread.join()

    assert "new" == done.boards[0].done


def test_a_second_publisher_of_the_store_is_told(filled: RunStore, put: Publish) -> None:
    """Two publishers of one store do not write at once."""
    told = pytest.raises(BusyError, match="publishes from this store")
    with filled.lock(publishing.LOCK, wait=0.0), told:
        put(wait=0.0)


def test_a_server_that_is_away_is_a_plain_error(filled: RunStore, put: Publish) -> None:
    """Nothing is published, nothing is lost, and the message says what to do."""
    with pytest.raises(StoreError, match=r"publish again to complete it: .*does not answer"):
        put(uri="http://127.0.0.1:9")

    assert "new" == put().boards[0].done


def test_the_boards_of_a_suite_have_an_experiment_of_their_own(
    filled: RunStore, add: Callable[..., None], put: Publish
) -> None:
    """Each line leads to its row, all problems together stand first, and rows stay as they were."""
    for (norm, optimizer), mean in MEANS.items():
        add(norm, optimizer, mean, problem="mnist_2c2d")
    done = put(suite="mine")
    place = "normbench/suite/mine"

    assert {place} == {board.experiment for board in done.boards}
    lines = runs(filled, "line", place)
    assert 3 * len(MEANS) == len(lines)
    assert not any(shown(run) for run in runs(filled, "row"))
    leading = [run for run in lines if "normbench.row" in run.data.tags]
    rows = {run.data.tags["normbench.row"]: run.info.run_id for run in runs(filled, "row")}
    digits = next(run for run in leading if run.data.tags["normbench.row"] in rows)
    assert rows[digits.data.tags["normbench.row"]] in digits.data.tags["mlflow.note.content"]
    assert tags_of(filled, place)[views.NOTE].splitlines()[0].count("Leaderboard all problems")
    assert ["unchanged"] * 3 == [board.done for board in put(suite="mine").boards]
    apart = {HOME, "normbench/mnist_2c2d/quick", "normbench/overview"}
    assert apart == {board.experiment for board in put().boards}


def test_names_are_text_in_the_note_and_the_report(
    filled: RunStore, catalogue: Catalogue, no_figures: None
) -> None:
    """A norm called as a script or a link is neither."""
    boards = make_boards(StoreReader(filled), catalogue, Wanted())
    evil = "<script>alert(1)</script>[x](javascript:alert(1))"
    entries = [
        replace(e, row=replace(e.row, norm_label=evil)) if e.row.norm == "batch_norm" else e
        for e in boards[0].entries
    ]
    board = replace(boards[0], entries=tuple(entries))
    done = publish([board], report_sections([board]), filled)

    report = (folder_of(filled, done.boards[0].run_id) / "leaderboard.md").read_text("utf-8")
    for text in (report, tags_of(filled)[views.NOTE]):
        assert "script" in text
        assert "<script" not in text
        assert "](javascript" not in text.replace("\\](javascript", "")


def test_the_pages_open_on_what_was_published_last(
    filled: RunStore, add: Callable[..., None], put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`normbench ui` opens the Leaderboard view, and gives one link for each experiment."""
    add("none", "momentum", 0.9, problem="mnist_2c2d")
    add("none", "sgd", 0.9, problem="mnist_2c2d")
    sync(filled)
    opened: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    done = put(problems=("mnist_2c2d",)).boards[0]
    said: list[str] = []

    server._show_links(open_backend(filled), "http://x/", True, said.append)

    assert [done.links("http://x/")["table"]] == opened
    assert f"{done.experiment}: {opened[0]}" == said[1]
    assert said[2].startswith(f"{HOME}: ")
    assert "normbench-runs" in said[2]


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Runs a command in this process."""
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


def test_the_command_prints_the_table_then_what_it_published(
    filled: RunStore, no_figures: None, invoke: Callable[..., Result]
) -> None:
    """The table stands as without --publish, and below it what was done and how to see it."""
    words = ("leaderboard", "--store", filled.root)
    plain = invoke(*words).stdout

    done = invoke(*words, "--publish")

    assert 0 == done.exit_code
    table, _, rest = done.stdout.partition(plain)
    assert "" == table
    assert ["", f"MLflow, experiment {HOME}: digits_cnn quick, revision 1 published."] == (
        rest.splitlines()[:2]
    )
    assert f"See it in MLflow: normbench ui --store {filled.root}" == rest.splitlines()[-1]


def test_the_command_leaves_other_formats_whole(
    filled: RunStore, no_figures: None, invoke: Callable[..., Result]
) -> None:
    """With --format json standard output stays JSON; what was published is said beside it."""
    done = invoke("leaderboard", "--store", filled.root, "--publish", "--format", "json")

    assert "digits_cnn quick" == json.loads(done.stdout)[0]["title"]
    assert "revision 1 published" in done.stderr


def test_the_command_ends_with_1_when_mlflow_is_away(
    filled: RunStore,
    no_figures: None,
    invoke: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table is printed, and one sentence says that it is not in MLflow and what to do."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    done = invoke("leaderboard", "--store", filled.root, "--publish")

    assert 1 == done.exit_code
    assert "batch_norm" in done.stdout
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_gets_links_that_open_it() -> None:
    """With a server, table, charts and report are printed as links to it."""
    board = PublishedBoard(
        title="digits_cnn quick",
        experiment=HOME,
        experiment_id="7",
        run_id="abc",
        revision=3,
        done="unchanged",
        view="normbench-leaderboard-1",
    )

    lines = list(Published(address="http://here/", boards=(board,)).lines())

    assert "revision 3 was there already" in lines[0]
    assert ["table", "charts", "report"] == [line.split()[0] for line in lines[1:]]
    assert all("http://here/#/experiments/7/" in line for line in lines[1:])
