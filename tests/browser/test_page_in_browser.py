"""A page in a real browser: sorted, filtered, attacked, on a phone, with and without scripts."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.page import leaderboard_page
from normbench.leaderboard.sections import report_sections
from normbench.plugins import load_catalogue

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "]]>--><svg onload=alert(3)>",
)
NORMS = {"none": 0.0, "batch_norm": -0.03, "group_norm": 0.1, **dict.fromkeys(EVIL, 0.02)}
MAIN = "document.querySelector('table.main')"
SHOWN = f"[...{MAIN}.tBodies[0].rows].filter(row => row.offsetParent !== null || row.offsetHeight)"


def _rows():
    """Return the module that makes rows as a store would give them."""
    path = Path(__file__).parents[1] / "suite" / "leaderboard" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_rows", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """The page of two problems whose norms and optimizers have hostile names."""
    made, chance, catalogue = _rows(), random.Random(1), load_catalogue()

    def row(problem, norm, optimizer, mean):
        scores = [mean + chance.gauss(0, 0.004) for _ in range(6)]
        diverged = (2,) if norm == EVIL[0] else ()
        return made.made_row(norm, optimizer, scores, problem=problem, diverged=diverged)

    some = [
        row(problem, norm, optimizer, 0.8 + more)
        for problem in ("digits_cnn", "cifar10_3c3d")
        for norm, more in NORMS.items()
        for optimizer in ("momentum", EVIL[0])
    ]
    links = {some[0].row: "https://example.org/run", some[1].row: "javascript:alert(4)"}
    boards = make_boards(made.Rows(some), catalogue, Wanted())
    page = leaderboard_page(report_sections(boards), links, title=EVIL[0], contents=True)
    path = tmp_path_factory.mktemp("pages") / "some.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def opened(tab, path):
    """The page in a browser that must neither complain nor ask for anything."""
    yield show(tab, path)
    assert [] == tab.complaints + tab.dialogs
    assert {path.as_uri()} == set(tab.requested)


def show(tab, path: Path):
    tab.open(path.as_uri())
    tab.wait_for(f"location.href === '{path.as_uri()}' && document.readyState === 'complete'")
    return tab


def column(tab, heading: str) -> list[str]:
    """Return what a reader sees in a column of the first table, from top to bottom."""
    at = f"[...{MAIN}.tHead.rows[0].cells].findIndex(c => c.textContent.trim() === '{heading}')"
    return tab.evaluate(f"{SHOWN}.map(row => row.cells[{at}].textContent)")


def click(tab, heading: str) -> str:
    """Click on a heading of the first table and return its direction."""
    head = f"[...{MAIN}.tHead.rows[0].cells].find(c => c.textContent.trim() === '{heading}')"
    tab.evaluate(f"{head}.querySelector('button').click()")
    return tab.evaluate(f"{head}.getAttribute('aria-sort')")


def choose(tab, name: str, value: str) -> None:
    """Set a field of the form as a reader would."""
    field = f"document.forms.filters.elements['{name}']"
    tab.evaluate(f"{field}.value = '{value}'")
    tab.evaluate(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def test_numbers_sort_as_numbers_and_say_so(opened):
    """A click sorts upwards, a second one downwards, and what is empty stays last."""
    differences = column(opened, "difference [95 %]")
    numbers = sorted(float(text.split(" ")[0]) for text in differences if text)

    assert "ascending" == click(opened, "difference [95 %]")
    found = column(opened, "difference [95 %]")
    assert (numbers, "") == ([float(text.split(" ")[0]) for text in found[:-1]], found[-1])
    assert "descending" == click(opened, "difference [95 %]")
    assert numbers[::-1] == [
        float(text.split(" ")[0]) for text in column(opened, "difference [95 %]")[:-1]
    ]
    assert 1 == opened.evaluate("document.querySelectorAll('[aria-sort]').length")
    click(opened, "rank")
    assert differences == column(opened, "difference [95 %]")


def test_headings_are_reached_and_pressed_by_keyboard(opened):
    """A heading takes the focus, and Enter sorts by it."""
    opened.evaluate(f"{MAIN}.tHead.rows[0].cells[1].querySelector('button').focus()")
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    opened.call("Input.dispatchKeyEvent", type="keyDown", **key)
    opened.call("Input.dispatchKeyEvent", type="keyUp", **key)

    norms = column(opened, "norm")
    assert "ascending" == opened.evaluate(f"{MAIN}.tHead.rows[0].cells[1].ariaSort")
    assert norms.index("batch_norm") < norms.index("group_norm") < norms.index("none")


def test_filters_leave_what_fits_in_every_table(opened):
    """Words and choices act together, on details and seeds too, and the count says so."""
    choose(opened, "norm", "group_norm")
    assert ["group_norm"] * 2 == column(opened, "norm")
    assert "4 of 24 rows" in opened.text()
    choose(opened, "words", "MOMENTUM")
    assert ["momentum"] == column(opened, "optimizer")
    visible = (
        "[...document.querySelectorAll('main section:first-child tr[data-row]:not([hidden])')]"
    )
    assert {"momentum"} == set(opened.evaluate(f"{visible}.map(row => row.dataset.optimizer)"))
    opened.evaluate("document.forms.filters.reset()")
    opened.wait_for("document.body.innerText.includes('24 of 24 rows')")


def test_a_problem_and_a_verdict_are_chosen(opened):
    """The tables of other problems go; of the rest, rows of the verdict stay."""
    choose(opened, "problem", "digits_cnn")
    assert ["digits_cnn"] == opened.evaluate(
        "[...document.querySelectorAll('main > section:not([hidden])')].map(s => s.dataset.problem)"
        ".filter(Boolean)"
    )
    choose(opened, "verdict", "reference")
    assert "1 of 24 rows" in opened.text()


def test_rows_without_a_verdict_are_not_chosen_by_one(opened):
    """Methods over problems have no verdicts, so they stay whatever verdict is chosen."""
    methods = "[...document.querySelectorAll('main > section:last-child tbody tr:not([hidden])')]"
    before = opened.evaluate(f"{methods}.length")
    choose(opened, "verdict", "better")

    assert before == opened.evaluate(f"{methods}.length")
    choose(opened, "norm", "group_norm")
    assert 0 < opened.evaluate(f"{methods}.length") < before


def test_hostile_names_are_text(opened):
    """No element, attribute or handler comes of a name; web links alone are links."""
    names = "document.querySelectorAll('main script, img, [onload], [onerror], svg svg').length"
    assert 0 == opened.evaluate(names)
    assert 1 == opened.evaluate("document.scripts.length")
    assert {"https://example.org/run"} == set(
        opened.evaluate("[...document.querySelectorAll('main a')].map(a => a.href)")
    )
    for name in EVIL:
        assert name in opened.text()


def test_a_policy_stops_what_is_added(tab, path, tmp_path):
    """A script or a request that someone writes into the page is refused by the page itself."""
    evil = "<script>document.title='bad'</script><img src='https://example.org/x.png'></body>"
    changed = tmp_path / "changed.html"
    changed.write_text(path.read_text("utf-8").replace("</body>", evil), "utf-8")
    show(tab, changed)

    assert "bad" != tab.evaluate("document.title")
    assert 2 == sum("violates the following Content Security Policy" in c for c in tab.complaints)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(opened, dark):
    """At 375 pixels page and figures fit the screen, and the verdict of a row is in sight."""
    opened.size(375, 800)
    opened.dark(dark)

    assert 375 == opened.evaluate("document.documentElement.scrollWidth")
    edges = f"{SHOWN}.map(row => row.querySelector('.verdict').getBoundingClientRect().right)"
    assert max(opened.evaluate(edges)) <= 375
    figures = "[...document.querySelectorAll('svg.figure')]"
    edges = f"{figures}.map(drawn => drawn.getBoundingClientRect().right)"
    assert max(opened.evaluate(edges)) <= 375


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out(opened, dark):
    """Text of tables, marks and figures has a contrast of 4.5 and more to the paper."""
    opened.dark(dark)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    parts = {".mark.better": "color", ".mark.worse": "color", "caption": "color", "a": "color"}
    parts |= {"svg text": "fill", "figcaption": "color", "td": "color"}
    paper = opened.evaluate(style.format("body", "backgroundColor"))
    colours = [opened.evaluate(style.format(*part)) for part in parts.items()]

    assert min(contrast(colour, paper) for colour in colours) >= 4.5


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_without_scripts_there_are_plain_tables(tab, path):
    """With JavaScript off all rows show, and no field or button that does nothing."""
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    show(tab, path)

    assert 12 == len(column(tab, "norm"))
    fields = "[...document.querySelectorAll('input, select, button')]"
    assert [] == tab.evaluate(f"{fields}.filter(field => field.offsetParent).map(f => f.name)")
    assert [] == tab.complaints
