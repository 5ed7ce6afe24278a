"""MLflow's own pages on a published leaderboard, served by ``normbench ui``, in a real browser."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.sheets import Cells, main_cells
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore

SWITCH = "NORMBENCH_TEST_BROWSER"
pytestmark = pytest.mark.skipif(
    SWITCH not in os.environ, reason=f"takes a minute; `make test-browser` sets {SWITCH}"
)
EVIL = "<script>alert(1)</script>"
ROWS = {("none", "momentum"): 0.9, ("batch_norm", "momentum"): 0.96, (EVIL, "sgd"): 0.93}
VIEWS = ["Leaderboard", "Norm ablation", "Optimizers", "Runs", "Curves", "Diverged", "Incomplete"]
# MLflow's pages ask for the user of a server that has none, its charts complain of their size, and
# its table when another view is chosen while it is being made.
MLFLOWS_OWN = re.compile(r"ajax-api/2.0/mlflow/users/current|ResizeObserver loop|^AG Grid: ")
BUTTON = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() == {})"
ITEMS = "[...document.querySelectorAll('[role=menuitem]')]"
NOTE = "[...document.querySelectorAll('a')].filter(a => a.href.includes('#/experiments/'))"


@dataclass(frozen=True)
class Pages:
    """MLflow's pages on a published store.

    Attributes:
        address: The server.
        link: What ``normbench ui`` printed.
        cells: The terminal's table.
    """

    address: str
    link: str
    cells: tuple[Cells, ...]


def fill(store: RunStore) -> None:
    """Add rows of five seeds; one has the name of a script, and one of its seeds diverged."""
    chance, catalogue = random.Random(1), load_catalogue()
    for (norm, optimizer), mean in ROWS.items():
        plain = "group_norm" if norm == EVIL else norm
        request = Request(problem="digits_cnn", optimizer=optimizer, norm=plain, seeds=5)
        for spec in resolve(request, catalogue):
            named = {**spec.identity, "norm": {**spec.identity["norm"], "name": norm}}
            own = replace(spec, norm=replace(spec.norm, name=norm), identity=named)
            diverged = norm == EVIL and spec.seed == 3
            train(store, own, 0.1 if diverged else mean + chance.gauss(0, 0.004), diverged)


def train(store: RunStore, spec: Any, score: float, diverged: bool) -> None:
    """Give a run the curve and the result that a worker would."""
    attempt = store.add(spec).claim({"hardware": {"device": "one"}, "versions": {}, "git": {}})
    with attempt:
        for epoch in range(4):
            part = {"loss": 2.0 - 0.4 * epoch, "accuracy": score * epoch / 3}
            parts = dict.fromkeys(("train", "validation", "test"), part)
            last = {"epoch": epoch, **parts}
            attempt.append({**last, "step": epoch, "time": 1.7e9 + epoch, "lr": 0.1})
        attempt.publish(
            {
                "outcome": "diverged" if diverged else "finished",
                "diverged_at_step": 3 if diverged else None,
                "metric": "test_accuracy",
                "score": score,
                "final": last,
                "best": last,
                "epochs": 3,
                "train_seconds": 1.5,
                "time_to_target": {"target": None, "reached": False},
                "finished_at": 1.7e9 + 9,
            }
        )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A small store, published and served by the real commands."""
    store = RunStore.open(tmp_path_factory.mktemp("pages") / "store", create=True)
    fill(store)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    where = ("--store", str(store.root))
    normbench = (sys.executable, "-c", "from normbench.cli import main; main()")
    subprocess.run([*normbench, "leaderboard", "--publish", *where], env=environment, check=True)
    serving = subprocess.Popen(
        [*normbench, "ui", "--no-browser", "--port", "0", *where],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = iter(serving.stdout.readline, "")
        link = next(line.partition(": ")[2].strip() for line in lines if "experiments/" in line)
        board = make_boards(StoreReader(store), load_catalogue(), Wanted())[0]
        yield Pages(link.partition("#")[0], link, main_cells(board))
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(30)
        serving.stdout.close()


@pytest.fixture
def page(tab: Any, pages: Pages) -> Iterator[Any]:
    """A tab that must not complain, show an alert, or ask another server for anything."""
    yield tab
    assert [] == [said for said in tab.complaints if not MLFLOWS_OWN.search(said)]
    assert [] == tab.dialogs
    elsewhere = ("data:", "blob:", "about:", pages.address)
    assert [] == [address for address in tab.requested if not address.startswith(elsewhere)]


def cell(place: int, column: str) -> str:
    """Return the expression for the text of a cell of the table."""
    row = f'[row-index="{place}"] [col-id*="{column}"]'
    return f"document.querySelector({json.dumps(row)})?.innerText.trim() ?? ''"


def test_it_opens_on_the_leaderboard_as_in_the_terminal(page: Any, pages: Pages) -> None:
    """The rows stand in the terminal's order with the terminal's texts."""
    page.open(pages.link)
    page.wait_for(f"{cell(0, 'lb.score')} != ''")

    for place, line in enumerate(pages.cells):
        assert line.score == page.evaluate(cell(place, "lb.score"))
        assert line.verdict == page.evaluate(cell(place, "lb.verdict"))
        assert (line.difference or "-") == page.evaluate(cell(place, "lb.difference"))
        name = page.evaluate(f"document.querySelectorAll('[row-index=\"{place}\"] a')[0].innerText")
        assert f"{line.norm}+{line.optimizer}" == name
    assert re.search(rf"\b{len(pages.cells)}\s+matching runs", page.text())


def test_every_view_is_in_the_menu_and_opens(page: Any, pages: Pages) -> None:
    """The Views menu lists all of them by name, the leaderboard first, and each shows itself."""
    page.open(pages.link)
    page.click(BUTTON.format('"Leaderboard"'))
    page.wait_for(f"{ITEMS}.length > 6")
    listed = page.evaluate(f"{ITEMS}.map(item => item.innerText.trim())")
    assert VIEWS == listed[: len(VIEWS)]

    shown = {"Diverged": 1, "Incomplete": 0, "Norm ablation": 2, "Optimizers": 1, "Runs": 15}
    before = "Leaderboard"
    for name, runs in shown.items():
        if before != "Leaderboard":
            page.click(BUTTON.format(json.dumps(before)))
        page.click(f"{ITEMS}.find(item => item.innerText.trim() == {json.dumps(name)})")
        page.wait_for(f"!!{BUTTON.format(json.dumps(name))}")
        page.wait_for(f"/(^|\\n){runs}\\s+matching run/.test(document.body.innerText)")
        before = name


def test_the_curves_are_charts_by_row(page: Any, pages: Pages) -> None:
    """The note's link to the curves draws a line for each row."""
    page.open(pages.link)
    page.click("document.querySelector('[data-component-id$=\"metadata_editor.expand_button\"]')")
    page.open(page.wait_for(f"{NOTE}.find(a => a.innerText == 'Curves')?.href"))

    page.wait_for_text("test/accuracy")
    page.wait_for("document.querySelectorAll('.scatterlayer .trace').length >= 3")
    assert "Group: none+mome" in page.text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("table", "lb.verdict"), ("charts", "lb/delta"), ("report", "What was tested")],
)
def test_the_notes_first_line_leads_there(page: Any, pages: Pages, name: str, shown: str) -> None:
    """Table, charts and report open from the experiment's note."""
    page.open(pages.link)
    page.wait_for_text("is better than the reference")
    page.open(page.wait_for(f"{NOTE}.find(a => a.innerText == {json.dumps(name)})?.href"))

    page.wait_for_text(shown)


def test_the_report_leads_to_the_rows(page: Any, pages: Pages) -> None:
    """A norm in the report's table opens the run of its row."""
    page.open(pages.link)
    page.open(page.wait_for(f"{NOTE}.find(a => a.innerText == 'report')?.href"))
    page.wait_for_text("What was tested")
    assert EVIL in page.text()
    page.open(page.wait_for(f"{NOTE}.find(a => a.innerText == {json.dumps(EVIL)})?.href"))

    page.wait_for_text("lb.board_run")
    assert f"{EVIL}+sgd" in page.text()


def test_the_page_is_shown_in_its_frame(page: Any, pages: Pages) -> None:
    """The HTML file opens in MLflow's frame without a complaint."""
    page.open(pages.link)
    report = page.wait_for(f"{NOTE}.find(a => a.innerText == 'report')?.href")
    page.open(report.replace("leaderboard.md", "leaderboard.html"))

    page.wait_for("!!document.querySelector('iframe')")
    page.wait_for_text("leaderboard/leaderboard.html")
