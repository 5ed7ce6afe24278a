"""The page of a leaderboard: the same cells, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.formats import FORMATS, Section
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.page import Picture, leaderboard_page
from normbench.leaderboard.page.keys import sort_keys
from normbench.leaderboard.page.markup import Markup, element, prose
from normbench.leaderboard.page.tables import linked
from normbench.leaderboard.sections import report_sections

GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
BETTER = (0.953, 0.967, 0.961, 0.979, 0.944, 0.958)
EVIL = "<script>alert(1)</script>|=%_\\&\"'"


class Page(HTMLParser):
    """Collects the cells of tables, every tag with its attributes, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, "")
        if tag == "table":
            self.tables.append([])
        if tag in ("td", "th"):
            self._cell = True
            self.tables[-1].append("")

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.texts[self.lasttag or ""] = self.texts.get(self.lasttag or "", "") + data
        if self._cell:
            self.tables[-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def rows(make_row):
    return [
        make_row("none", scores=GOOD),
        make_row("batch_norm", scores=BETTER, diverged=(1,)),
        make_row(EVIL, scores=BETTER[::-1]),
        make_row(EVIL, "sgd", scores=[v - 0.004 for v in BETTER], missing=(6,)),
        make_row("none", "sgd", scores=[v - 0.3 for v in GOOD]),
    ]


@pytest.fixture
def sections(rows, reader, catalogue) -> list[Section]:
    details = {
        run.fingerprint: {"hardware": {"device": "one CPU"}, "versions": {"torch": "2.15"}}
        for row in rows
        for run in row.runs.values()
    }
    boards = make_boards(reader(rows, machines=details), catalogue, Wanted())
    return report_sections(boards)


def test_tables_have_the_cells_of_every_format(sections):
    """The first table shows the main sheet, cell for cell; the details follow, then every seed."""
    page = Page(FORMATS["html"](sections))
    main, detail = sections[0].shown[:2]

    assert [*main.columns, *sum(main.rows, ())] == page.tables[0]
    assert [*detail.columns, *sum(detail.rows, ())] == page.tables[1]
    assert "test_accuracy % by seed" in page.texts["caption"]
    assert {f"{100 * value:.2f}" for value in GOOD} <= set(page.tables[2])
    assert "10.00 diverged" in page.tables[2]
    assert "failed" in page.tables[2]


def test_nothing_of_a_name_is_markup(sections):
    """One script, ours; no image, frame or handler; every table has as many cells as it should."""
    page = Page(FORMATS["html"](sections))

    assert 1 == len(page.of("script"))
    assert not {"img", "iframe", "link", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert EVIL in page.tables[0]
    assert {EVIL, "none", "batch_norm"} == {
        tr["data-norm"] for tr in page.of("tr") if tr.get("data-row")
    }


def test_nothing_is_loaded_and_the_policy_knows_the_scripts(sections):
    """The content policy allows the page's own script and style by their hashes, and no request."""
    text = FORMATS["html"](sections)
    policy = Page(text).of("meta")[1]["content"] or ""

    for tag in ("script", "style"):
        content = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"(src|href|action)=\"(?!#)", text)
    assert " style=" not in text


def test_ids_of_several_figures_do_not_clash(sections):
    """Every id is there once, and every reference leads to one."""
    text = FORMATS["html"](sections)
    ids = re.findall(r'\sid="([^"]+)"', text)

    assert 2 == len(Page(text).of("svg"))
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)


def test_rows_and_runs_lead_to_their_addresses(sections, rows):
    """A row's name and each seed's value are links where the web has them, else text."""
    run = rows[0].runs[2].fingerprint
    links = {
        rows[0].row: "https://x.org/r",
        run: "http://x.org/2",
        rows[1].row: "javascript:alert(1)",
    }
    found = [link["href"] for link in Page(leaderboard_page(sections, links)).of("a")]

    assert {"https://x.org/r": 2, "http://x.org/2": 1} == {a: found.count(a) for a in set(found)}


@pytest.mark.parametrize(
    "address", [None, "", "javascript:alert(1)", "data:text/html,x", "//x.org", " https://x.org"]
)
def test_other_addresses_stay_text(address):
    """What is no address of the web is never a link."""
    assert "text" == linked("text", address)


def test_address_cannot_leave_its_attribute():
    """Quotes and brackets of an address are escaped."""
    assert 'href="https://x/&quot;&gt;&lt;b&gt;"' in linked("t", 'https://x/"><b>')


def test_foot_says_how_it_was_made(sections):
    """Rules with their values, versions, hardware and the hash of the values are on the page."""
    text = FORMATS["html"](sections)
    board = sections[0].about

    for said in (board.digest, "one CPU", "torch 2.15", "Protocol standard, version 1, tf32"):
        assert said in text
    assert ["validation_share", "0.1"] == Page(text).tables[-1][-3:-1]


def test_intro_pictures_commands_and_contents_are_shown(make_row):
    """What a report adds is on the page: escaped, but for the figures that are markup."""
    section = Section("a < b", (), {"Notes": ["`c` & d"]}, dict, lambda: ((), []), None, ("e > f",))
    section = section.__class__(**{**vars(section), "sheets": (_sheet(),)})
    picture = Picture("<svg><g></g></svg>", "g < h")
    text = leaderboard_page(
        [section], title="T & U", intro=["`i` < j"], pictures={"a < b": [picture]}, contents=True
    )

    for said in ("<svg><g></g></svg>", "<figcaption>g &lt; h<", "<pre>e &gt; f</pre>", "T &amp; U"):
        assert said in text
    assert "<p><code>i</code> &lt; j</p>" in text
    assert '<a href="#part-1">a &lt; b</a>' in text
    assert "<form" not in text


def _sheet():
    from normbench.leaderboard.sheets import Sheet

    return Sheet(("norm", "p"), (("x", ".05"),), ("p",))


def test_sections_know_their_problem(rows, reader, catalogue):
    """A board's section and what stands below it are of its problem, what is over problems none."""
    from normbench.leaderboard.page.assembling import problems_of

    boards = make_boards(reader(rows), catalogue, Wanted())
    sections = report_sections(boards)
    published = Section(f"{sections[0].title}: published", (), {}, dict, lambda: ((), []))
    other = Section(f"{sections[0].title}s", (), {}, dict, lambda: ((), []))

    assert ["digits_cnn", "digits_cnn", ""] == problems_of([*sections, published, other])


def test_ablations_are_a_page_too(rows, reader, catalogue):
    """Norms within and over optimizers, with the rules of their protocol, and choices of both."""
    found = make_ablations(reader(rows), catalogue, Wanted(), "norm", None)
    page = Page(FORMATS["html"]([ablation_section(each, "holm") for each in found]))

    assert EVIL in page.tables[0]
    assert "Protocol standard, version 1, tf32" in page.texts["summary"]
    assert ["norm", "optimizer"] == [choice["name"] for choice in page.of("select")]


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (("1-2", "13", "4"), ["1", "13", "4"]),
        (("+1.20 [0.80, 1.60]", "", "-10.00 [-29.00, 8.00]"), ["1.2", "", "-10"]),
        (("<.001", ".039", "1.000"), ["0.0005", "0.039", "1"]),
        (("41.3 s", "1 min 05 s", "2 h 05 min"), ["41.3", "65", "7500"]),
        (("7 (10/10)", "missed (2/10)"), ["7", "Infinity"]),
        (("9.5/10", "10/10"), ["9.5", "10"]),
        (("+0.004", "1e-05"), ["0.004", "1e-05"]),
    ],
)
def test_columns_of_numbers_sort_as_numbers(cells, keys):
    """Ranks, intervals, p values, durations, times to a target and counts are numbers."""
    assert keys == sort_keys(cells)


@pytest.mark.parametrize("cells", [("group_norm", "1"), ("", ""), ("a", "b"), ("4e4b0e9e", "1bde")])
def test_other_columns_sort_as_text(cells):
    """One cell that is no number, or no cell at all, makes a column of text."""
    assert None is sort_keys(cells)


def test_markup_is_escaped_once():
    """Text is escaped, markup is not, and what would turn the direction of text shows."""
    inner = element("b", "<&>", title='"', hidden=True, lang=None)

    assert '<b title="&quot;" hidden>&lt;&amp;&gt;</b>' == inner
    assert f"<p>{inner}x</p>" == element("p", inner, "x")
    assert "a\ufffdb" == prose("a\u202eb")
    assert isinstance(element("p", Markup("<i>")), Markup)


def test_an_odd_backtick_stays(sections):
    """Only pairs of backticks are code."""
    assert "<code>a</code> b" == prose("`a` b")
    assert "a ` b" == prose("a ` b")
