"""Sheets as HTML tables whose rows know their norm, optimizer and verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.page.keys import sort_keys
from normbench.leaderboard.page.markup import Markup, element, prose
from normbench.leaderboard.sheets import Numbers, Sheet, main_cells
from normbench.leaderboard.verdicts import Verdict

Links = Mapping[str, str]
Facets = Mapping[str, str]
FACETS = ("norm", "optimizer", "verdict")
_MOST_AT_ONCE = 40
_SCHEMES = ("http://", "https://")
_VERDICTS = frozenset(verdict.value for verdict in Verdict)


def main_table(board: Board, sheet: Sheet, links: Links) -> Markup:
    """Return the table of who stands where, in which norms lead to their rows."""
    rows = [entry.row.row for entry in board.entries]

    def wrap(place: int, column: str, cell: str) -> str:
        return linked(cell, links.get(rows[place])) if column == "norm" else cell

    return table(sheet, _facets(board.entries), wrap, kind="main", ordered="rank")


def detail_table(board: Board, sheet: Sheet, links: Links) -> Markup:
    """Return the table of what else is known of each row."""
    rows = [entry.row.row for entry in board.entries]

    def wrap(place: int, column: str, cell: str) -> str:
        return linked(cell, links.get(rows[place])) if column == "row" else cell

    return table(sheet, _facets(board.entries), wrap)


def seed_table(board: Board, links: Links) -> Markup:
    """Return the value of every seed, which leads to its run."""
    numbers = Numbers(board.metric.name)
    seeds = sorted({seed for entry in board.entries for seed in entry.row.runs})
    runs = [entry.row.runs for entry in board.entries]
    rows = tuple(
        (cells.norm, cells.optimizer, *(_seed(entry, s, numbers) for s in seeds))
        for entry, cells in zip(board.entries, main_cells(board), strict=True)
    )

    def wrap(place: int, column: str, cell: str) -> str:
        run = runs[place].get(int(column)) if column.isdecimal() else None
        return cell if run is None else linked(cell, links.get(run.fingerprint))

    columns = ("norm", "optimizer", *map(str, seeds))
    title = f"{board.metric.name}{numbers.unit} by seed"
    return table(Sheet(columns, rows, columns[2:], title), _facets(board.entries), wrap)


def _seed(entry: Entry, seed: int, numbers: Numbers) -> str:
    """Return the value of a seed, else its outcome; nothing where there is no run."""
    run = entry.row.runs.get(seed)
    if run is None:
        return ""
    value = numbers.value(entry.values.get(seed))
    if seed in entry.row.diverged:
        return f"{value} diverged".strip()
    return value or run.state.value.replace("_", " ")


def plain_table(sheet: Sheet) -> Markup:
    """Return a table of any sheet; columns named as facets say what its rows are."""
    shown = [column for column in FACETS if column in sheet.columns]
    places = {column: sheet.columns.index(column) for column in shown}
    return table(sheet, [{c: row[at] for c, at in places.items()} for row in sheet.rows])


def table(
    sheet: Sheet,
    facets: Sequence[Facets],
    wrap: Callable[[int, str, str], str] = lambda _place, _column, cell: cell,
    *,
    kind: str = "",
    ordered: str = "",
) -> Markup:
    """Return a table that scrolls within itself.

    Args:
        sheet: Its cells.
        facets: What is known of each row, for filters.
        wrap: Returns the content of a cell by the row's place, its heading and its text.
        kind: Class of the table.
        ordered: Heading of the column that the rows are in the order of.
    """
    sheet = sheet.without_empty()
    places = [str(place) for place in range(len(sheet.rows))]
    columns = zip(*sheet.rows, strict=True)
    keys = [
        places if heading == ordered else sort_keys(cells)
        for heading, cells in zip(sheet.columns, columns, strict=True)
    ]
    heads = [
        element("th", heading, scope="col", class_=_class(sheet, heading), data_sort=_sort(column))
        for heading, column in zip(sheet.columns, keys, strict=True)
    ]
    body = [
        element(
            "tr",
            *(
                _cell(
                    sheet,
                    heading,
                    wrap(place, heading, text),
                    text,
                    column[place] if column else None,
                )
                for heading, text, column in zip(sheet.columns, row, keys, strict=True)
            ),
            **{f"data_{name}": value for name, value in facets[place].items()},
        )
        for place, row in enumerate(sheet.rows)
    ]
    content = [element("caption", sheet.title)] if sheet.title else []
    content += [element("thead", element("tr", *heads)), element("tbody", *body)]
    shown = element("table", *content, class_=f"sortable {kind}".strip())
    long = " long" if len(sheet.rows) > _MOST_AT_ONCE else ""
    return scrolling(shown, sheet.title or kind or "table", f"scroll{long}")


def scrolling(content: Markup, label: str, name: str = "scroll") -> Markup:
    """Return *content* in a frame of its own that scrolls, by keyboard too."""
    return element("div", content, class_=name, tabindex="0", role="group", aria_label=label)


def _cell(sheet: Sheet, heading: str, content: str, text: str, key: str | None) -> Markup:
    name = _class(sheet, heading)
    if heading == "verdict" and text in _VERDICTS:
        name, content = "verdict", element("span", text, class_=f"mark {text.replace(' ', '-')}")
    return element("td", content, class_=name, data_key=key or None, data_label=heading)


def _class(sheet: Sheet, heading: str) -> str | None:
    return "right" if heading in sheet.right else None


def _sort(keys: Sequence[str] | None) -> str:
    return "text" if keys is None else "number"


def _facets(entries: Iterable[Entry]) -> list[Facets]:
    return [
        {
            "row": entry.row.row,
            "norm": entry.row.norm_label,
            "optimizer": entry.row.optimizer,
            "verdict": entry.verdict.value if entry.verdict else "",
        }
        for entry in entries
    ]


def linked(text: str, address: str | None) -> str:
    """Return *text* as a link; where the address is none of the web's it stays text."""
    if not text or address is None or not address.lower().startswith(_SCHEMES):
        return text
    return element("a", text, href=address, target="_blank", rel="noopener noreferrer")


def listed(lines: Iterable[str]) -> Markup:
    """Return *lines* as a list."""
    return element("ul", *(element("li", prose(line)) for line in lines))
