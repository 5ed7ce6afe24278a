"""Declared stages in a store: written once, read as they were, brought along by a merge."""

from __future__ import annotations

import json
import multiprocessing
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from normbench.errors import StoreError
from normbench.leaderboard.verdicts import Verdict
from normbench.store import (
    Declaration,
    RecordedDecision,
    RunStore,
    Shown,
    add_shown,
    declare,
    merge_store,
    read_declaration,
    read_declarations,
    read_shown,
    readable_declarations,
    record_decision,
)
from normbench.store.decisions import VERDICTS

FORK = multiprocessing.get_context("fork")
ROW = "0123456789abcdef" * 2
DECISION = RecordedDecision(
    reference="f" * 32,
    stage=5,
    verdict="better",
    p=0.01,
    n=5,
    difference=0.1,
    interval=(0.05, 0.15),
    family=(ROW,),
    metric="test_accuracy",
    alpha=0.05,
    decided_at=12.5,
)


def declaration(**changes) -> Declaration:
    made = Declaration(row=ROW, stages=(5, 8), seeds=tuple(range(8)), declared_at=12.5)
    return replace(made, **changes)


def store_at(path: Path) -> RunStore:
    return RunStore.open(path, create=True)


def declare_one(root: Path, last: int) -> None:
    declare(root, declaration(stages=(5, last), seeds=tuple(range(last))))


def test_what_was_declared_is_read_again(tmp_path):
    """Every field survives the file, and a row without one has none."""
    store = store_at(tmp_path / "store")
    made = declaration(before=(20, 21), reference_of="f" * 32, late=True)
    declare(store.root, made)

    assert (made, None) == (
        read_declaration(store.root, ROW),
        read_declaration(store.root, "f" * 32),
    )
    assert {ROW: made} == read_declarations(store.root)


def test_the_first_decision_stands(tmp_path):
    """Whoever looks again is told what was decided; read again, it is that one still."""
    store = store_at(tmp_path / "store")
    first = DECISION
    later = replace(first, stage=8, verdict="worse", decided_at=13.5)
    declare(store.root, declaration())

    assert [first, first] == [record_decision(store.root, ROW, d) for d in (first, later)]
    assert first == read_declaration(store.root, ROW).decision
    file = store.root / "stages" / f"{ROW}.decision.json"
    content = json.loads(file.read_bytes())
    for wrong, message in (
        ({"schema": 9, "written_by": "7.0"}, "written by normbench 7.0 with schema 9"),
        ({"interval": [0.1]}, "is damaged .interval is .* nobody knows what was decided"),
        ({"n": "many"}, "n is 'many'"),
        ({"n": -1}, "n is -1, expected a whole number from 0 on"),
        ({"stage": True}, "stage is"),
        ({"decided_at": 1e300}, "decided_at is 1e.300, expected a finite number from 0 to 1e.11"),
        ({"decided_at": 10**400}, "decided_at is 1000"),
        ({"verdict": ["a"]}, "verdict is .'a'., expected a text"),
        ({"verdict": "nonsense"}, "verdict is 'nonsense', expected better, worse"),
        ({"p": 1.5}, "p is 1.5"),
        ({"difference": None}, "difference is None"),
        ({"family": ROW}, "family is"),
        ({"family": [5]}, "family is"),
        ({"row": "f" * 32}, "decided about row f"),
    ):
        file.write_text(json.dumps(content | wrong))
        with pytest.raises(StoreError, match=message):
            read_declaration(store.root, ROW)


@pytest.mark.parametrize(
    "broken",
    [
        {"rows": None},
        {"rows": [ROW]},
        {"rows": {ROW: "5"}},
        {"rows": {ROW: None}},
        {"at": "today"},
        {"at": 1e300},
        {"at": None},
        {"name": 3},
        {"reference": None},
        {"schema": 2},
    ],
    ids=repr,
)
def test_lines_of_shown_tables_that_hold_something_else_are_left_out(tmp_path, broken):
    """Lacking keys, wrong types and a torn end cost that line alone, also where stores merge."""
    stores = [store_at(tmp_path / name) for name in ("one", "other")]
    file = stores[0].root / "shown.jsonl"
    add_shown(stores[0].root, 12.5, "digits_cnn", ROW, {ROW: 5})
    whole = json.loads(file.read_bytes())
    for line in (whole | broken, {k: v for k, v in whole.items() if k not in broken}):
        with file.open("a") as lines:
            lines.write(f"\n{json.dumps(line)}")
    with file.open("a") as lines:
        lines.write('\n{"schema":1,"at":13.0,"na')
    add_shown(stores[0].root, 14.0, "", ROW, {ROW: 6})
    merge_store(stores[0].root, stores[1])

    tables = (Shown(12.5, "digits_cnn", ROW, 5), Shown(14.0, "", ROW, 6))
    assert {ROW: tables} == read_shown(stores[0].root)
    assert read_shown(stores[0].root) == read_shown(stores[1].root)


def test_the_first_declaration_stands(tmp_path):
    """A later one changes nothing and is told what stands."""
    store = store_at(tmp_path / "store")
    declare(store.root, declaration())

    assert declaration() == declare(store.root, declaration(stages=(5, 6), seeds=tuple(range(6))))


def test_of_many_processes_one_declares(tmp_path):
    """Whatever they race for, one whole declaration is left, and no file beside it."""
    store = store_at(tmp_path / "store")
    racers = [FORK.Process(target=declare_one, args=(store.root, 6 + i)) for i in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    found = read_declaration(store.root, ROW)

    assert {0} == {racer.exitcode for racer in racers}
    assert len(found.seeds) == found.stages[-1]
    assert [f"{ROW}.json"] == [path.name for path in (store.root / "stages").iterdir()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [8, 5]}, "do not grow"),
        ({"seeds": [0, 1]}, "2 seeds for 8 in the last stage"),
        ({"seeds": [0, 0, 1, 2, 3, 4, 5, 6]}, "in the last stage"),
        ({"stages": ["5"]}, r"stages is \['5'\], expected whole numbers from 2 on"),
        ({"stages": [True, 10], "seeds": [*range(10)]}, "stages is"),
        ({"stages": [1, 8]}, "stages is"),
        ({"before": [3]}, "count although they were there before"),
        ({"declared_at": "nan"}, "declared_at is 'nan', expected a finite number"),
        ({"declared_at": 1e300}, "declared_at is 1e.300"),
        ({"late": "no"}, "late is 'no', expected true or false"),
        ({"reference": 5}, "reference is 5, expected a text"),
        ({"declared_at": True}, "declared_at is True"),
        ({"stages": 5}, "is damaged"),
        ({"schema": 9, "written_by": "7.0"}, "written by normbench 7.0 with schema 9"),
        ({"row": "f" * 32}, "declares the stages of row f"),
    ],
)
def test_a_damaged_declaration_is_an_error(tmp_path, changes, message):
    """Whoever guesses stages guesses verdicts, so nothing goes on without the file."""
    store = store_at(tmp_path / "store")
    declare(store.root, declaration())
    path = store.root / "stages" / f"{ROW}.json"
    path.write_text(json.dumps({**declaration().to_dict(), **changes}))

    with pytest.raises(StoreError, match=message):
        read_declarations(store.root)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema": 1', b"{}", None])
def test_a_lost_declaration_is_never_to_be_made_again(tmp_path, content):
    """Cut off, emptied, or gone beside what was decided: to declare anew would undo the stages."""
    root = store_at(tmp_path / "store").root
    declare(root, declaration())
    (root / "stages" / f"{ROW}.decision.json").write_bytes(b"{}" if content is None else b"")
    file = root / "stages" / f"{ROW}.json"
    file.unlink() if content is None else file.write_bytes(content)
    found, damaged = readable_declarations(root)

    assert ({}, [ROW]) == (found, list(damaged))
    assert "nobody knows which looks at the row were declared" in str(damaged[ROW])
    assert "made again" not in str(damaged[ROW])
    for ask in (lambda: read_declaration(root, ROW), lambda: declare(root, declaration())):
        with pytest.raises(StoreError, match="Restore it from a backup"):
            ask()
    assert {word.value for word in Verdict} == {*VERDICTS, "reference"}


@pytest.mark.parametrize("told", [True, False])
def test_a_lost_declaration_of_a_reference_is_noticed(tmp_path, told):
    """Where what was decided against it tells that it was there."""
    root, reference = store_at(tmp_path / "store").root, "f" * 32
    declare(root, declaration())
    declare(root, declaration(row=reference, reference_of=ROW))
    record_decision(root, ROW, replace(DECISION, reference_declared=told))

    assert {ROW, reference} == read_declarations(root).keys()
    (root / "stages" / f"{reference}.json").unlink()
    found, damaged = readable_declarations(root)
    assert ([ROW], [reference] if told else []) == (list(found), list(damaged))
    if told:
        with pytest.raises(StoreError, match=f"{ROW}.decision.json beside it tells of another row"):
            declare(root, declaration(row=reference))


@pytest.mark.parametrize("packed", [False, True])
def test_a_merge_brings_declarations_along(tmp_path, packed):
    """From a folder or an archive, again without effect, and never over one that is there."""
    source, target = store_at(tmp_path / "there"), store_at(tmp_path / "here")
    declare(source.root, declaration())
    declare(source.root, declaration(row="f" * 32))
    own = declaration(row="f" * 32, stages=(6,), seeds=tuple(range(6)))
    declare(target.root, own)
    place = source.root
    if packed:
        place = tmp_path / "there.tar"
        with tarfile.open(place, "w") as tar:
            tar.add(source.root, "there")
    for _ in range(2):
        merge_store(place, target)

        assert {ROW: declaration(), "f" * 32: own} == read_declarations(target.root)
