"""Options that say how runs get trained, right and wrong, and the words of ``normbench worker``."""

from __future__ import annotations

import pytest

RUN = ("run", "digits_cnn_bn", "sgd", "--dry-run", "--no-track")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--time-limit", "soon"), "'soon' is no time"),
        (("--memory-limit", "lots"), "'lots' is no size"),
        (("--slots", "0"), "whole number from 1, or auto"),
        (("--pack", "0"), "whole number from 1, auto or off"),
        (("--pack", "4", "--device", "cpu"), "one run a process and one thread each"),
        (("--launcher", "lokal"), "Did you mean 'local'"),
        (("--launcher-option", "partition"), "expected NAME=VALUE"),
        (("--launcher-option", "partition=gpu"), "no options of its own"),
        (("--device", "cuda:99"), "Use --device cpu"),
    ],
)
def test_wrong_launch_options_are_explained(invoke, tmp_path, words, message):
    """Each is refused before anything is written, with what was expected."""
    done = invoke(*RUN, "--store", tmp_path / "store", *words)

    assert 2 == done.exit_code
    assert message in done.stderr
    assert not (tmp_path / "store").exists()


def test_limits_reach_the_launch(monkeypatch, invoke, tmp_path):
    """What was typed is what the launcher is handed, in seconds and bytes."""
    from normbench import api

    asked = []
    monkeypatch.setattr(api, "check_launching", lambda launching, catalogue: None)
    monkeypatch.setattr(api, "launch", lambda specs, catalogue, launching: asked.append(launching))
    words = ("--time-limit", "2h", "--memory-limit", "4G", "--slots", "auto", "--launcher", "slurm")
    words += ("--pack", "off", "--launcher-option", "partition=a=b")
    invoke(*RUN[:3], "--store", tmp_path, *words)

    launching = asked[0]
    assert (7200.0, 4 * 2**30, "auto", "off", "slurm") == (
        launching.time_limit,
        launching.memory_limit,
        launching.slots,
        launching.pack,
        launching.launcher,
    )
    assert {"partition": "a=b"} == launching.launcher_options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pack", "none"), "whole number from 1, auto or off"),
        (("--slots", "none"), "whole number from 1, or auto"),
        (("--wall-time", "0"), "is no time"),
        (("--memory-limit", "x"), "is no size"),
        (("--drian",), "unrecognized arguments: --drian"),
    ],
)
def test_wrong_words_of_a_worker_are_explained(invoke, words, message):
    """They end with exit code 2 and what was expected."""
    done = invoke("worker", *words)

    assert 2 == done.exit_code
    assert message in done.stderr


def test_worker_explains_itself(invoke):
    """The help says what is taken, what is not, and how to stop it."""
    done = invoke("worker", "--help")

    assert 0 == done.exit_code
    for words in ("normbench worker --drain", "--wall-time", "cancelled", "Ctrl-C", "Exit code"):
        assert words in done.stdout
    assert "--parent" not in done.stdout
