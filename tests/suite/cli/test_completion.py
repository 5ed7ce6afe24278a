"""Completion in the shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from normbench.plugins import KINDS


@pytest.mark.parametrize(
    ("shell", "marks"),
    [
        ("bash", ("_NORMBENCH_COMPLETE=bash_complete", "complete -o nosort -F")),
        ("zsh", ("#compdef normbench", "_NORMBENCH_COMPLETE=zsh_complete")),
        ("fish", ("complete --no-files --command normbench", "fish_complete")),
    ],
    ids=["bash", "zsh", "fish"],
)
def test_script_is_the_shells(invoke, shell, marks):
    """Each shell gets a script of its own that calls normbench back."""
    done = invoke("completion", shell)

    assert 0 == done.exit_code
    assert all(mark in done.stdout for mark in marks)


def completed(*words: str) -> list[str]:
    """Return what the shell would offer for the last of *words*."""
    done = subprocess.run(
        [sys.executable, "-c", "from normbench.cli import main; main()"],
        env={
            **os.environ,
            "_NORMBENCH_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("normbench", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_are_completed():
    """The beginning of a command is completed."""
    assert ["resume"] == completed("res")
    assert ["worker"] == completed("work")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", ""), "problem"),
        (("run", "digits_cnn", ""), "optimizer"),
        (("run", "digits_cnn", "sgd", "--norm", ""), "norm"),
        (("run", "digits_cnn", "sgd", "--protocol", ""), "protocol"),
        (("status", "--optimizer", ""), "optimizer"),
        (("describe", "--norm", ""), "norm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_names_are_completed_from_the_catalogue(catalogue, words, kind):
    """Where a name is expected, all registered ones of its kind are offered."""
    assert catalogue.names(KINDS[kind]) == completed(*words)


def test_kinds_are_completed_for_list():
    """List completes the kinds it knows."""
    assert ["problems", "protocols", "publications", "plugins"] == completed("list", "p")
