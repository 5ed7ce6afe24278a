"""Commands that look into a store which need not be there: in empty and half-made folders."""

from __future__ import annotations

from pathlib import Path

import pytest

CELL = ("digits_cnn_bn", "sgd", "--protocol", "quick")
COMMANDS = (
    ("tune", *CELL, "--trials", "2", "--dry-run"),
    ("run", *CELL, "--seeds", "2", "--dry-run"),
    ("plan", *CELL, "--seeds", "2", "--no-probe"),
)


LOOKING = (
    ("status",),
    ("resume",),
    ("cancel", "12345678"),
    ("leaderboard",),
    ("leaderboard", "--source", "mlflow"),
    ("compare", "a", "b"),
    ("norms",),
    ("optimizers",),
    ("plot",),
    ("sync",),
    ("ui",),
    ("deepobs", "write", "out"),
    ("suite", "cancel", "mine.yaml"),
    ("suite", "status", "mine.yaml"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return an empty folder, beside a suite file in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("{problem: digits_cnn_bn, optimizer: sgd, seeds: 2}")
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def cut_short(folder: Path) -> None:
    """Leave what a process leaves that was killed while it made a store."""
    (folder / "runs").mkdir()
    (folder / "locks").mkdir()
    (folder / ".store.json.0123abcd.tmp").write_text("{")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("leave", [lambda _folder: None, cut_short], ids=["empty", "half-made"])
def test_folder_without_a_store_is_as_good_as_none(invoke, folder, words, leave):
    """The command says what it says without a folder, and leaves the folder as it is."""
    leave(folder)
    before = sorted(folder.rglob("*"))
    found = invoke(*words, "--store", "store")
    missing = invoke(*words, "--store", "other")

    assert (missing.exit_code, missing.stdout) == (found.exit_code, found.stdout), found.stderr
    assert before == sorted(folder.rglob("*"))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_folder_of_something_else_is_refused(invoke, folder, words):
    """A folder that cannot become a store is an error that names what it holds."""
    (folder / "thesis.tex").touch()
    found = invoke(*words, "--store", "store")

    assert 2 == found.exit_code
    assert "neither empty nor a run store: it holds 'thesis.tex'" in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        *COMMANDS,
        ("run", *CELL, "--until-decided", "--dry-run"),
        ("suite", "run", "mine.yaml", "--dry-run"),
        ("suite", "tune", "mine.yaml", "--trials", "2", "--dry-run"),
        ("verify", "precision", *CELL[:1], "--dry-run"),
    ],
    ids=lambda words: "_".join(words[:2]),
)
def test_dry_run_tells_that_no_store_can_be_made(invoke, folder, words):
    """What the same command would stumble over without --dry-run is told, and nothing is left."""
    folder.rmdir()
    folder.touch()
    found = invoke(*words, "--store", folder / "below" / "it")

    assert 2 == found.exit_code
    assert (
        f"cannot create the run store {folder}/below/it: Not a directory. "
        "Choose another folder with --store DIR or $NORMBENCH_STORE."
    ) in found.stderr
    assert [] == [file.name for file in folder.parent.iterdir() if file.name.endswith(".tmp")]


@pytest.mark.parametrize("below", [".", "it"])
@pytest.mark.parametrize("option", ["--dry-run", "--enqueue"])
def test_link_that_leads_nowhere_is_named(invoke, folder, below, option):
    """With --dry-run and without, whether the store is to be in its place or below."""
    link = folder / "link"
    link.symlink_to("nowhere")
    found = invoke(*COMMANDS[1][:-1], option, "--store", link / below)

    assert 2 == found.exit_code
    assert f"{link / below}: the link {link} leads nowhere. Choose another" in found.stderr


@pytest.mark.parametrize(
    "words", LOOKING, ids=lambda words: "_".join(word.strip("-") for word in words)
)
@pytest.mark.parametrize("made", ["missing", "other folder", "file"])
def test_wrong_store_is_a_mistake_in_the_request(invoke, folder, words, made):
    """Whatever the command and whatever is in the place of the store, the exit code is 2."""
    place = folder / "place"
    if made == "other folder":
        place.mkdir()
        (place / "thesis.tex").touch()
    elif made == "file":
        place.touch()
    found = invoke(*words, "--store", place)

    assert 2 == found.exit_code, found.output
    assert found.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("folder", "it is a folder"), ("x.py", "it is a Python file"), ("x.txt", "does not end in")],
)
@pytest.mark.parametrize("command", [("suite", "describe"), ("suite", "run"), ("plan",)])
def test_what_is_no_suite_file_is_named(invoke, folder, command, name, reason):
    """Each command that takes a suite file says what it got and what it expects; exit code 2."""
    (folder.parent / "folder").mkdir()
    (folder.parent / "x.py").touch()
    (folder.parent / "x.txt").touch()
    found = invoke(*command, name)

    assert 2 == found.exit_code
    assert f"error: suite {name}: " in found.stderr
    assert reason in found.stderr
    assert "Expected a YAML file of a suite" in found.stderr


def test_failed_merge_leaves_no_store(invoke, folder):
    """A store that was to be made for another's runs is not there if these cannot be read."""
    (folder / "thesis.tex").touch()
    found = invoke("sync", "--from", folder, "--store", folder.parent / "new")

    assert 2 == found.exit_code
    assert not (folder.parent / "new").exists()


def test_tuning_completes_a_half_made_store(invoke, folder):
    """Trials can be added where the making of the store was cut short, and are found again."""
    cut_short(folder)
    words = (*COMMANDS[0][:-1], "--store", "store")
    added = invoke(*words, "--enqueue")

    assert 0 == added.exit_code, added.stderr
    assert added.stdout.splitlines()[:4] == invoke(*words, "--dry-run").stdout.splitlines()[:4]
    assert (folder / "store.json").exists()
