"""What ``normbench list`` shows."""

from __future__ import annotations

import json

import pytest

from normbench.cli.listing import PLURALS
from normbench.plugins import KINDS

TWICE = """
from normbench import Norm, hookimpl

@hookimpl
def normbench_norms():
    return [
        Norm(name="batch_norm", summary="an impostor", factory=print),
        Norm(name="of_my_own", summary="one more", factory=print),
    ]
"""


@pytest.mark.parametrize("plural", PLURALS)
def test_json_is_complete(invoke, catalogue, plural):
    """The JSON of each kind holds every name with summary, version and origin."""
    kind = PLURALS[plural]
    records = json.loads(invoke("list", plural, "--json").stdout)

    assert catalogue.names(KINDS[kind]) == [record["name"] for record in records]
    for record in records:
        assert kind == record["kind"]
        assert record["summary"]
        assert record["version"] >= 1
        assert ("bridge" if ":" in record["name"] else "built-in") == record["origin"]
        assert record["offered_twice"] is False


def test_json_of_everything_has_every_kind(invoke, catalogue):
    """Without an argument the JSON maps each kind, and the plugins, to its records."""
    content = json.loads(invoke("list", "--json").stdout)

    assert {*PLURALS, "plugins"} == set(content)
    assert len(catalogue.plugins) == len(content["plugins"])


@pytest.mark.parametrize("plural", PLURALS)
def test_table_has_a_line_for_every_name(invoke, catalogue, plural):
    """The table of each kind has one line for each name, aligned, without colour in a pipe."""
    lines = invoke("list", plural).stdout.splitlines()

    assert catalogue.names(KINDS[PLURALS[plural]]) == [line.split()[0] for line in lines[1:]]
    assert "\x1b[" not in "".join(lines)


def test_overview_names_everything(invoke, catalogue):
    """The overview holds the names of all kinds, with their number."""
    shown = invoke("list").stdout
    words = set(shown.replace(",", " ").split())

    for plural, kind in PLURALS.items():
        names = catalogue.names(KINDS[kind])
        assert f"{plural} ({len(names)})" in shown
        assert set(names) <= words


def test_name_offered_twice_is_marked(invoke, plugin_file):
    """A name that two plugins offer comes twice, marked, with where it is from."""
    file = plugin_file(TWICE)
    lines = invoke("list", "norms", "--plugin", file).stdout.splitlines()
    twice = [line for line in lines if line.startswith("batch_norm (offered twice)")]
    own = [line for line in lines if line.startswith("of_my_own")]

    assert 2 == len(twice)
    assert own[0].endswith("one_off.py, file")


def test_plugins_show_what_they_offer(invoke, plugin_file):
    """The table of plugins counts what each offers."""
    lines = invoke("list", "plugins", "--plugin", plugin_file(TWICE)).stdout.splitlines()

    assert ["one_off.py", "file", "2", "norms"] == lines[-1].split()
    one = TWICE.replace('Norm(name="batch_norm", summary="an impostor", factory=print),', "")
    lines = invoke("list", "plugins", "--plugin", plugin_file(one)).stdout.splitlines()
    assert ["one_off.py", "file", "1", "norm"] == lines[-1].split()


def test_broken_installed_plugin_is_marked(invoke, monkeypatch, tmp_path):
    """An installed plugin that fails to import is shown with its reason; the rest is listed."""
    information = tmp_path / "broken_norms-0.3.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-norms\nVersion: 0.3")
    (information / "entry_points.txt").write_text("[normbench]\nbroken = no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)

    done = invoke("list", "plugins")
    reason = "ModuleNotFoundError: No module named 'no_such_module_at_all'"

    assert 0 == done.exit_code
    line = next(line for line in done.stdout.splitlines() if line.startswith("broken "))
    assert "broken-norms 0.3" in line
    assert f"failed: {reason}" in line
    assert f"plugin broken (broken-norms 0.3) failed to load: {reason}" in invoke("list").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        (
            "from normbench import hookimpl\n@hookimpl\ndef normbench_norm():\n    return []",
            "Did you mean 'normbench_norms'?",
        ),
    ],
    ids=["import", "syntax", "hook"],
)
def test_broken_plugin_file_is_refused(invoke, plugin_file, text, message):
    """A one-off file that cannot be loaded ends the command with its reason."""
    done = invoke("list", "--plugin", plugin_file(text))

    assert 2 == done.exit_code
    assert "one_off" in done.stderr
    assert message in done.stderr


def test_settings_are_counted_or_chosen_by_words(invoke, catalogue):
    """Of many a line stands for each problem and protocol; words and options choose in full."""
    every = catalogue.settings()
    lines = invoke("list", "settings").stdout.splitlines()
    pairs = {(each.problem, each.protocol) for each in every}
    full = invoke("list", "settings", "protocol=spherical", "--optimizer", "adam").stdout
    chosen = [e for e in every if (e.protocol, e.optimizer) == ("spherical", "adam")]
    twin = invoke("list", "settings", "--problem", "cifar10_3c3d_bn", "--json").stdout
    base = [each for each in every if each.problem == "cifar10_3c3d"]

    assert pairs == {tuple(line.split()[:2]) for line in lines[1:-3]}
    assert f"{len(every)} settings." == lines[-2]
    assert len(every) == sum(int(line.split()[-1]) for line in lines[1:-3])
    assert f"\n{len(chosen)} settings." in full
    assert all(each.problem in full and each.source[:30] in full for each in chosen)
    assert len(base) == len(json.loads(twin)) > 0
    for words, message in (
        (("settings", "lr=1"), "unknown word for settings 'lr'"),
        (("settings", "norm=batchnorm"), "Did you mean 'batch_norm'"),
        (
            ("settings", "norm=layer_norm", "protocol=spherical"),
            "no known setting has both norm=layer_norm and protocol=spherical. With norm=layer_n",
        ),
        (("norms", "--problem", "digits_cnn"), "only settings are chosen by words"),
    ):
        done = invoke("list", *words)
        assert 2 == done.exit_code
        assert message in done.stderr
