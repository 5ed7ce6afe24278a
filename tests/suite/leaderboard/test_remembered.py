"""Tables that are kept are found again only while nothing that they are made of has changed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from normbench.leaderboard import remembered
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.remembered import Remembered
from normbench.plugins import Catalogue, PluginInfo, load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore

PLUGIN = """
from normbench import hookimpl

@hookimpl
def normbench_norms():
    return []  # 1
"""


@pytest.fixture
def store(tmp_path: Path, catalogue: Catalogue) -> Path:
    """Return a store with a run and the folder of an index."""
    opened = RunStore.open(tmp_path / "store", create=True)
    (spec,) = resolve(Request(problem="quadratic_deep", optimizer="sgd", seeds=1), catalogue)
    opened.add(spec)
    (opened.root / "index").mkdir(exist_ok=True)
    return opened.root


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a plugin file that offers no norm."""
    file = tmp_path_factory.mktemp("plugin") / "nothing.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def catalogue(plugin: Path) -> Catalogue:
    """Return what all plugins offer."""
    return load_catalogue([plugin])


@pytest.fixture
def table(store: Path, catalogue: Catalogue) -> Callable[[str], Remembered]:
    """Return a function that looks at the store and gives the place of the table of a metric."""
    return lambda metric: Remembered(
        StoreReader(RunStore.open(store)), catalogue, {"metric": metric}
    )


def _remove_run(store: Path, plugin: Path) -> None:
    run = next(iter(store.glob("runs/*/*")))
    run.rename(store / "elsewhere")


def _write(name: str) -> Callable[[Path, Path], None]:
    def write(store: Path, plugin: Path) -> None:
        file = store / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}", encoding="utf-8")

    return write


def _change_plugin(store: Path, plugin: Path) -> None:
    before = plugin.stat()
    plugin.write_text(PLUGIN.replace("# 1", "# 2"), encoding="utf-8")
    os.utime(plugin, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a run is gone": _remove_run,
    "a run is cancelled": lambda store, _: (
        next(iter(store.glob("runs/*/*"))) / "cancelled"
    ).touch(),
    "a stage is declared": _write("stages/row.json"),
    "a setting is found": _write("settings/cell.json"),
    "a precision is verified": _write("verified/problem.json"),
    "a table was shown": _write("shown.jsonl"),
    "a plugin changed, its time set back": _change_plugin,
}


@pytest.mark.parametrize(("own", "found"), [(b"\nours", "the table"), (b"", None)])
def test_what_showing_a_table_writes_changes_nothing_of_it(table, store, own, found):
    """Kept after its own line was added to the tables shown, it is found; after another's not."""
    kept = table("loss")
    assert kept.text() is None
    (store / "shown.jsonl").write_bytes(b"\nours")
    kept.keep("the table", own)

    assert found == table("loss").text()


def test_a_table_of_what_was_shown_meanwhile_is_not_kept(table, store):
    """Another's line came while it was made: it is no table of the store without that line."""
    made = table("loss")
    assert made.text() is None
    (store / "shown.jsonl").write_bytes(b"\ntheirs")
    made.keep("the table")
    (store / "shown.jsonl").unlink()

    assert table("loss").text() is None


def test_the_newest_used_tables_are_kept(table, store, monkeypatch):
    """Of more than there is room for the one goes that was longest not shown."""
    monkeypatch.setattr(remembered, "MOST_FILES", 2)
    names = ["m0", "m1", "m2"]
    files = {}
    for place, name in enumerate(names[:-1]):
        table(name).keep(name)
        (files[name],) = {*(store / "index" / "tables").iterdir()} - {*files.values()}
        os.utime(files[name], (place, place))
    assert names[0] == table(names[0]).text()
    table(names[-1]).keep(names[-1])

    assert [names[1]] == [name for name in names if table(name).text() is None]


def test_another_plugin_makes_another_table(table, store, catalogue):
    """One more plugin, or one that could not be loaded, although no file has changed."""
    table("loss").keep("the table")
    more = copy.copy(catalogue)
    more.plugins = [*catalogue.plugins, PluginInfo(name="more", origin="more 1.0")]
    reader = StoreReader(RunStore.open(store))

    assert "the table" == Remembered(reader, catalogue, {"metric": "loss"}).text()
    assert Remembered(reader, more, {"metric": "loss"}).text() is None


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_table_is_never_older_than_what_it_is_made_of(table, store, plugin, change):
    """A kept table is found for the same question, and not once anything of it has changed."""
    table("loss").keep("the table")
    assert "the table" == table("loss").text()
    assert table("accuracy").text() is None
    late = table("error")
    assert late.text() is None
    change(store, plugin)
    assert table("loss").text() is None
    late.keep("made of what was before")
    assert table("error").text() is None
