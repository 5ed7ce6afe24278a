"""Commands that are printed to be copied load the one-off plugin files that they need."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from normbench import cli
from normbench.cli.boards import hint_table
from normbench.cli.options import Invocation
from normbench.store.plugin_files import find_plugin_file, note_plugin_files

ONE_OFF = """
from normbench import Optimizer, Parameter, hookimpl

LR = (Parameter(name="lr", kind="float", default=0.1, summary="learning rate"),)

@hookimpl
def normbench_optimizers():
    return [Optimizer(name="mine", summary="of a file", parameters=LR, factory="math:exp")]
"""
SUITE = """
problems: [digits_cnn_bn]
optimizers: [sgd, mine]
seeds: 4
"""
COMMAND = re.compile(r"normbench (?:resume|suite run|leaderboard|plot)[^`\n]* --store \S+[^`\n]*")
TRAINS = {"as_json": False, "dry_run": False, "enqueue": False}


@pytest.fixture
def made(invoke, filler, plugin_file, tmp_path, monkeypatch):
    """A store with runs of a file's optimizer, and a suite of it; the place of the file."""
    file = plugin_file(ONE_OFF)
    (tmp_path / "mine.yaml").write_text(SUITE, encoding="utf-8")
    given = ("run", "digits_cnn_bn", "mine", "--enqueue", "--plugin", file)
    done = invoke(*given, "--seeds", "4", "--store", filler.root)
    assert 0 == done.exit_code, done.stderr
    for run, state in zip(filler.store.runs(), ("finished", "finished", "failed"), strict=False):
        filler.end(run, state)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NORMBENCH_STORE", raising=False)
    return file


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("suite", "status", "mine.yaml"),
        ("leaderboard", "--suite", "mine.yaml"),
        ("suite", "cancel", "mine.yaml"),
    ],
    ids=" ".join,
)
def test_printed_commands_load_the_same_files(invoke, filler, made, words):
    """Whatever was typed with --plugin, the commands it prints have the file by its whole path."""
    filler.ended(seeds=4)
    done = invoke(*words, "--store", filler.root, "--plugin", made.name)
    printed = COMMAND.findall(" ".join((done.stdout + done.stderr).split("\n  ")))

    assert printed, done.stdout + done.stderr
    for command in printed:
        assert f"--plugin {made}" in command


def test_table_of_a_suite_that_was_trained_loads_its_files(made, capsys):
    """The command that shows the table of a suite run names the one-off files, too."""
    invocation = Invocation(store=Path("s"), plugin_files=(Path(made.name),))
    hint_table(invocation, "mine.yaml", ["lr=1"], TRAINS)
    shown = "normbench leaderboard --suite mine.yaml lr=1"

    assert f"Its table: {shown} --store s --plugin {made}\n" == capsys.readouterr().out


def test_no_command_line_is_ended_by_hand():
    """Commands end printed commands by what the invocation says, which no file goes missing in."""
    folder = Path(inspect.getfile(cli)).parent
    by_hand = [
        path.name
        for path in folder.glob("*.py")
        if re.search(r'" ?--store |"--store"[],]', path.read_text(encoding="utf-8"))
    ]

    assert ["launching.py", "options.py"] == sorted(by_hand)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "digits_cnn_bn", "mine", "--store", "{store}"), True),
        (("suite", "describe", "mine.yaml"), False),
        (("leaderboard", "--suite", "mine.yaml", "--store", "{store}"), True),
        (("report", "mine.yaml", "--store", "{store}"), True),
        (("resume", "--store", "{store}"), True),
        (("describe", "mine"), False),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else "",
)
def test_unknown_name_may_be_of_a_file(invoke, filler, made, words, told):
    """A name that runs of the store have from a file is said to be; any other may be of a file."""
    done = invoke(*(word.format(store=filler.root) for word in words))
    hint = f"from a plugin file. Add: --plugin {made}" if told else "of yours: --plugin FILE."

    assert 2 == done.exit_code
    assert "unknown" in done.stderr
    assert hint in done.stderr


@pytest.fixture
def edited(invoke, filler, plugin_file):
    """A store with a row before and a row after the file of its optimizer was edited."""
    file, rows = plugin_file(ONE_OFF), []
    filler.ended(seeds=3)
    for text in (ONE_OFF, f"{ONE_OFF}\n# edited\n"):
        file.write_text(text, encoding="utf-8")
        given = ("--seeds", "3", "--enqueue", "--plugin", file, "--store", filler.root)
        assert 0 == invoke("run", "digits_cnn_bn", "mine", "protocol.epochs=3", *given).exit_code
        new = [run for run in filler.store.runs() if not run.attempts()]
        rows.append(new[0].spec.row)
        for run in new:
            filler.end(run, "finished")
    return file, *rows


def test_rows_of_an_edited_file_are_told_apart(invoke, filler, edited):
    """Tables say which row is of the file as it is now; one for each cell takes that."""
    file, before, after = edited
    given = ("--store", filler.root, "--plugin", file)
    plain = invoke("leaderboard", "--store", filler.root, "--format", "md").stdout
    board = invoke("leaderboard", *given, "--format", "md").stdout

    told = "differ in the source of mine"
    names = re.search(rf"(\w{{4}}) and (\w{{4}}) {told}", plain)
    assert names is not None
    assert {before[:4], after[:4]} == set(names.groups())
    assert f"{told}: which is of the file as it is now is told where it is loaded" in plain
    assert f"{told}: {after[:4]} is of the file as it is now." in board
    status = " ".join(invoke("status", *given[:2]).stdout.split())
    assert f"{told}; see: normbench leaderboard --store {filler.root} --plugin {file}" in status
    found = invoke("compare", "mine", "sgd", *given, "--format", "json").stdout
    assert after[:8] in found
    assert before[:8] not in found
    cells = " ".join(invoke("optimizers", *given).stdout.split())
    assert f"untuned of a plugin file as it was before ({before[:4]})" in cells


def test_rows_of_an_edited_file_may_be_left_out_and_count(invoke, filler, edited):
    """With --current they are not shown, and the family of the corrections is as it was."""
    file, before, after = edited
    given = ("leaderboard", "--store", filler.root, "--plugin", file, "--format", "json")
    whole, shown = (json.loads(invoke(*given, *more).stdout)[0] for more in ((), ("--current",)))
    rows = [[entry["row"] for entry in board["entries"]] for board in (whole, shown)]

    assert {before, after} <= set(rows[0])
    assert set(rows[0]) - {before} == set(rows[1])
    assert any("Not shown: 1 comparable row" in note for note in shown["notes"])


def test_current_rows_are_known_only_with_their_file(invoke, filler, edited):
    """Without it --current is refused with its place, unless no row of it is chosen."""
    file, *_ = edited
    given = ("--store", filler.root, "--current")
    plot = ("plot", "--figure", "heatmap", "--output", filler.root / "a.png")
    for words in (("leaderboard",), ("compare", "mine", "sgd"), ("optimizers",), plot):
        done = invoke(*words, *given)
        assert 2 == done.exit_code
        assert f"the file of optimizer mine is not loaded: add --plugin {file}\n" in done.stderr
    assert 0 == invoke("leaderboard", *given, "--optimizer", "sgd").exit_code
    other = file.with_name("other.py")
    other.write_text(file.read_text(encoding="utf-8").replace("mine", "other"), encoding="utf-8")
    trained = ("--enqueue", "--plugin", other, "--store", filler.root)
    assert 0 == invoke("run", "digits_cnn_bn", "other", *trained).exit_code
    told = f"optimizer mine, optimizer other are not loaded: add --plugin {file} --plugin {other}\n"
    assert told in invoke("leaderboard", *given).stderr


def test_files_that_are_gone_are_not_named(tmp_path):
    """The newest place of a component that is still there is named."""
    files = [tmp_path / name for name in ("one.py", "two.py")]
    for file in files:
        file.touch()
        note_plugin_files(tmp_path, {file: ["norm mine"]})
    for left in (files[1], files[0], None):
        assert left == find_plugin_file(tmp_path, "norm", "mine")
        if left:
            left.unlink()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("norm", ("digits_cnn", "sgd", "--norm", "none,batch_norm")),
        ("optimizer", ("digits_cnn", "sgd,adam")),
        ("problem", ("digits_cnn,digits_cnn_bn", "sgd")),
    ],
)
def test_several_names_are_not_one_of_a_file(invoke, filler, kind, words):
    """A run has one of each; where all of the names are known, that is what is said."""
    done = invoke("run", *words, "--store", filler.root)

    assert 2 == done.exit_code
    assert done.stderr.endswith(
        f"is several, and a run has one {kind}: run the command for each, or a suite of them all, "
        "see: normbench suite --help\n"
    )
