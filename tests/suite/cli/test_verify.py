"""``normbench verify precision`` and the label of bf16 rows, on results that are made up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from normbench.store import read_verifications
from normbench.store.verifications import write_verification

CELL = ("digits_cnn_bn", "--protocol", "quick", "protocol.epochs=3")


@pytest.fixture
def verify(invoke, filler):
    """Test with runs that all end; return what is printed."""

    def test(*words):
        command = ("verify", "precision", *CELL, *words)
        planned = invoke(*command, "--dry-run", "--format", "json")
        assert 0 == planned.exit_code, planned.stderr
        for spec in specs(filler, planned):
            run = filler.store.add(spec)
            if run.result() is None:
                filler.end(run, "finished")
        return invoke(*command, "--store", filler.root, "--no-track", "--format", "json")

    return test


def specs(filler, planned):
    """Return the specs of the runs that are *planned*."""
    for run in json.loads(planned.stdout):
        words = (f"lr={run['lr']}", f"protocol.precision={run['precision']}")
        (made,) = filler.specs(1, run["optimizer"], words, protocol="quick")
        spec = replace(made, seed=int(run["seed"]), setting_origin="trial")
        assert spec.fingerprint.startswith(run["run"])
        yield spec


def label(invoke, filler):
    """Return what status and leaderboard say of the bf16 row."""
    rows = json.loads(invoke("status", "--store", filler.root, "--json").stdout)
    boards = invoke("leaderboard", "--store", filler.root, "--format", "json")
    (board,) = json.loads(boards.stdout)
    (row,) = (row for row in rows if not row["tuning"])
    return row["label"], " ".join(board["head"]), " ".join(board["notes"])


def test_only_a_passed_full_test_takes_the_label_away(verify, invoke, filler):
    """A small test is stored and named, and is no pass; a full one is what the tables then tell."""
    filler.ended("finished", 3, "momentum", ("protocol.precision=bf16",), protocol="quick")
    assert "bf16 not verified" == label(invoke, filler)[0]

    done = verify("--optimizers", "momentum", "--rates", "0.01", "--seeds", "2")
    content = json.loads(done.stdout)
    shown, head, _ = label(invoke, filler)
    assert (0, True, False) == (done.exit_code, content["small"], content["passed"])
    assert "bf16 not verified" == shown
    assert "tested so far: equivalent, small" in head
    assert "normbench verify precision digits_cnn --norm batch_norm protocol.epochs=3" in head

    (small,) = read_verifications(filler.root)
    assert content["file"] == str(filler.root / "verified" / f"{small.id}.json")
    write_verification(filler.root, small.id, {**small.content, "small": False})
    shown, head, notes = label(invoke, filler)
    assert ("", "") == (shown, head)
    assert "a full test found equivalent to tf32 here, with batch_norm and momentum:" in notes


def test_wrong_words_and_damaged_records_are_explained(invoke, filler):
    """Rates that are none, no optimizer, and a record that something else changed."""
    for words, said in (
        (("--rates", "momentum=a,b"), "expected learning rates above 0"),
        (("--rates", "-1"), "expected learning rates above 0"),
        (("--optimizers", ","), "--optimizers names none"),
    ):
        done = invoke("verify", "precision", *CELL, *words, "--dry-run")
        assert 2 == done.exit_code
        assert said in done.stderr
    filler.ended()
    (filler.root / "verified").mkdir()
    (filler.root / "verified" / "x.json").write_text('{"id": "x"}')
    done = invoke("status", "--store", filler.root)

    assert 2 == done.exit_code
    assert "Delete it, and test again" in done.stderr
