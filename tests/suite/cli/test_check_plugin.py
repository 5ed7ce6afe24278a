"""``normbench check-plugin``: what is checked, what an author is told, and the exit code."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from normbench import plugins

SOUND = """
import torch
import normbench


def fit(site):
    return normbench.Fitting(norm=torch.nn.Identity())


@normbench.hookimpl
def normbench_norms():
    return [
        normbench.Norm(name="same", summary="nothing", factory=fit, centres=CENTRES),
        normbench.Norm(name="other", summary="nothing else", factory=fit),
    ]


@normbench.hookimpl
def normbench_protocols():
    return [normbench.Protocol(name="mine", summary="rules")]
"""


@pytest.fixture
def sound(plugin_file):
    """A plugin with nothing to complain of."""
    return plugin_file(f"CENTRES = False\n{SOUND}")


@pytest.fixture
def unsound(plugin_file):
    """The same plugin with one untrue word in a description."""
    return plugin_file(f"CENTRES = True\n{SOUND}")


def test_sound_file_passes(invoke, sound):
    """Every component has a line, what has no checks is named, and the exit code is 0."""
    done = invoke("check-plugin", sound)

    assert 0 == done.exit_code, done.stdout
    assert "norm same: " in done.stdout
    assert "norm other: " in done.stdout
    assert "without checks: protocol mine" in done.stdout
    assert "nothing failed in " in done.stdout


def test_failure_speaks_to_the_author(invoke, unsound):
    """A broken contract ends with exit code 1: the fact, what was seen, expected, and to change."""
    done = invoke("check-plugin", unsound)

    assert 1 == done.exit_code
    assert "failed centres_as_it_says" in done.stdout
    assert "seen      Norm.centres is True, but at a conv site the output changes" in done.stdout
    assert "change    set centres=False in the description" in done.stdout
    assert "1 of 46 checks failed" in done.stdout


def test_only_and_skip_choose(invoke, unsound):
    """One component may be checked alone, and a check be left out."""
    other = invoke("check-plugin", unsound, "--only", "other")
    skipped = invoke("check-plugin", unsound, "--skip", "centres_as_it_says")
    named = invoke("check-plugin", unsound, "--skip", "centres_as_it_says", "-v")

    assert 0 == other.exit_code == skipped.exit_code
    assert "norm same" not in other.stdout
    assert "skipped 1 check: as asked; -v names them" in skipped.stdout
    assert "skipped centres_as_it_says" in named.stdout


def test_json_holds_every_finding(invoke, unsound):
    """--json gives all findings and what was not checked, and the same exit code."""
    done = invoke("check-plugin", unsound, "--json")
    record = json.loads(done.stdout)

    assert 1 == done.exit_code
    failed = [finding for finding in record["findings"] if finding["outcome"] == "failed"]
    assert [("norm", "same", "centres_as_it_says")] == [
        (one["kind"], one["name"], one["check"]) for one in failed
    ]
    assert all(failed[0][word] for word in ("fact", "message", "expected", "change"))
    assert ["protocol mine"] == record["unchecked"]


def test_verbose_lists_every_check(invoke, sound):
    """-v names the checks that passed and those that do not apply, with the reason."""
    done = invoke("check-plugin", sound, "--only", "same", "-v")

    assert "passed keeps_channels_last" in done.stdout
    assert "does not apply shows_its_shift_and_scale (it has no shift" in done.stdout


@pytest.mark.parametrize("name", ["mine", "my-package", "my_package"])
def test_installed_plugin_is_found_by_entry_point_or_package(invoke, monkeypatch, sound, name):
    """An installed plugin goes by the name of its entry point or of its distribution."""
    module = plugins._import_file(sound)
    monkeypatch.setattr(plugins, "_origin", lambda _: "my-package 1.0")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [EntryPoint("mine", "m", group)])
    monkeypatch.setattr(EntryPoint, "load", lambda self: module)
    done = invoke("check-plugin", name, "--only", "other")

    assert 0 == done.exit_code, done.stderr
    assert "norm other: " in done.stdout


def test_plugin_that_cannot_be_loaded_is_refused(invoke, plugin_file):
    """A file that fails to import ends with exit code 2 and its own error."""
    done = invoke("check-plugin", plugin_file("import nowhere_to_be_found"))

    assert 2 == done.exit_code
    assert "nowhere_to_be_found" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check-plugin", "exmple"), "unknown plugin 'exmple'"),
        (("check-plugin", "no_such.py"), "does not exist"),
    ],
)
def test_unknown_plugin_is_refused(invoke, words, message):
    """A name that is neither installed nor a file is an error with what there is."""
    done = invoke(*words)

    assert 2 == done.exit_code
    assert message in done.stderr


@pytest.mark.parametrize(
    ("option", "word", "message"),
    [
        ("--only", "sane", "Did you mean 'same'?"),
        ("--skip", "centers_as_it_says", "Did you mean 'centres_as_it_says'?"),
    ],
)
def test_misspelt_choice_is_refused(invoke, sound, option, word, message):
    """A component or check that does not exist is answered with the nearest one."""
    done = invoke("check-plugin", sound, option, word)

    assert 2 == done.exit_code
    assert message in done.stderr
