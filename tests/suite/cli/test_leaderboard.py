"""What ``leaderboard``, ``compare``, ``norms`` and ``optimizers`` print of a store."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from dataclasses import replace

import pytest

from normbench.store import RunState, read_shown

SEEDS = 6
MEANS = {
    ("none", "momentum"): 0.90,
    ("none", "sgd"): 0.905,
    ("batch_norm", "momentum"): 0.96,
    ("batch_norm", "sgd"): 0.95,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory, catalogue):
    """A store of two norms by two optimizers with scores around their means."""
    from normbench.resolve import Request, resolve
    from normbench.store import RunStore

    store = RunStore.open(tmp_path_factory.mktemp("boards") / "store", create=True)
    generator = random.Random(1)
    for (norm, optimizer), mean in MEANS.items():
        request = Request(problem="digits_cnn", optimizer=optimizer, norm=norm, seeds=SEEDS)
        for spec in resolve(request, catalogue):
            publish(store.add(spec), mean + generator.gauss(0, 0.005))
    return store.root


@pytest.mark.parametrize("file", ["result.json", "spec.json"])
def test_a_damaged_run_is_missing_and_said(invoke, root, tmp_path, file):
    """Every view warns, notes it and counts the seed as planned; no verdict confirms anything."""
    shutil.copytree(root, place := tmp_path / "s")
    store = ("--store", place)
    board = json.loads(invoke("leaderboard", *store, "--format", "json").stdout)[0]
    found = {(each["norm"], each["optimizer"]): each for each in board["entries"]}
    entry = found["batch_norm", "momentum"]
    run = entry["runs"]["2"]
    (place / "runs" / run[:2] / run / file).write_text("{")
    done = invoke("leaderboard", *store, "--format", "json")
    board = json.loads(done.stdout)[0]
    (now,) = (each for each in board["entries"] if each["row"] == entry["row"])
    notes = " ".join(board["notes"])

    assert f"run {run[:8]} is left out: " in done.stderr
    assert (5, 6, [2]) == (now["n"], now["planned"], now["missing"])
    assert ("better", "exploratory") == (entry["verdict"], now["verdict"])
    assert f"seed 2 of batch_norm momentum (run {run[:8]})" in notes
    assert f"`normbench check --store {place}`" in notes
    for words in (("norms",), ("optimizers",), ("compare", "batch_norm+momentum", "none+sgd")):
        for form in ("md", "html") if words[0] == "norms" else ("json",):
            shown = invoke(*words, *store, "--format", form)
            assert 0 == shown.exit_code, shown.stderr
            assert f"(run {run[:8]})" in shown.stdout, (words, form)
            assert f"run {run[:8]} is left out: " in shown.stderr


def publish(run, score: float) -> None:
    """Give a run the result that a worker would."""
    where = {"hardware": {"device": "one"}, "versions": {"torch": "2.15"}, "git": {}}
    metrics = {"loss": 1 - score, "accuracy": score}
    last = {"epoch": 2, **dict.fromkeys(("train", "validation", "test"), metrics)}
    attempt = run.claim(where)
    with attempt:
        attempt.append({**last, "step": 2, "time": 1e9, "train_seconds": 1.0})
        attempt.publish(
            {
                "schema": 1,
                "fingerprint": run.fingerprint,
                "outcome": "finished",
                "metric": "test_accuracy",
                "score": score,
                "final": last,
                "best": last,
                "epochs": 2,
                "train_seconds": 1.5,
                "time_to_target": {"target": None, "reached": False},
                "finished_at": 1e9,
                "attempt": attempt.number,
            }
        )


def shown(invoke, root, *words) -> str:
    done = invoke(*words, "--store", root)
    assert 0 == done.exit_code, done.stderr
    return done.stdout


def records(invoke, root, *words) -> list[dict]:
    return json.loads(shown(invoke, root, *words, "--format", "json"))


def test_table_says_who_is_better_and_what_was_tested(invoke, root):
    """The best row comes first with its verdict; the last lines name the test and its family."""
    text = shown(invoke, root, "leaderboard")
    lines = text.splitlines()

    assert lines[1].split()[:3] == ["rank", "norm", "optimizer"]
    assert lines[2].split()[1:3] == ["batch_norm", "momentum"]
    assert "better" in lines[2]
    assert "two families of 3, each corrected by Holm" in " ".join(text.split())
    assert "hash of the values" in lines[-1] + lines[-2]


def test_table_fits_a_hundred_columns(invoke, root):
    """Every line of every command can be read in a terminal of 100 columns."""
    for words in (
        ("leaderboard",),
        ("compare", "batch_norm+sgd", "none+sgd"),
        ("norms",),
        ("optimizers",),
    ):
        assert max(map(len, shown(invoke, root, *words).splitlines())) <= 100, words


def test_verdicts_and_numbers_of_the_store(invoke, root):
    """The store's scores lead to the verdicts that their means call for."""
    board = records(invoke, root, "leaderboard")[0]
    found = {(entry["norm"], entry["optimizer"]): entry for entry in board["entries"]}

    assert "reference" == found["none", "momentum"]["verdict"]
    assert "better" == found["batch_norm", "momentum"]["verdict"]
    assert SEEDS == found["batch_norm", "sgd"]["comparison"]["n"]
    assert pytest.approx(0.96, abs=0.01) == found["batch_norm", "momentum"]["mean"]
    assert {"one": 4 * SEEDS} == board["provenance"]["hardware"]


@pytest.mark.parametrize("form", ["table", "md", "latex", "csv", "json", "html"])
def test_every_format_prints(invoke, root, form):
    """Each format prints every norm and the verdict."""
    text = shown(invoke, root, "leaderboard", "--format", form)

    assert "better" in text
    assert "momentum" in text


def test_csv_can_be_read_back(invoke, root):
    """One line for each row, headings first."""
    lines = list(csv.DictReader(io.StringIO(shown(invoke, root, "leaderboard", "--format", "csv"))))

    assert 4 == len(lines)
    assert {"quick", "standard"} >= {line["protocol"] for line in lines}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--norm", "batch_norm"), 3),
        (("--norm", "batch_norm,none"), 4),
        (("--optimizer", "sgd"), 3),
        (("--optimizer", "momentum", "--norm", "none"), 1),
        (("--problem", "digits_cnn_bn"), 4),
        (("--since", "2001-09-08"), 4),
        (("--since", "30000d"), 4),
    ],
)
def test_filters_choose_rows(invoke, root, words, count):
    """Filters keep rows of their names, and the reference."""
    assert count == len(records(invoke, root, "leaderboard", *words)[0]["entries"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--norm", "batchnorm"), "Did you mean 'batch_norm'"),
        (("--since", "yesterday"), "is no date: expected the form"),
        (("--since", "2030-01-01"), "has no results since 2030-01-01 00:00"),
        (("--reference", "sgd"), "names 2 rows: expected one"),
        (("--metric", "tset_accuracy"), "unknown metric"),
        (
            ("--publish", "--norm", "none", "--since", "2001-01-01"),
            "and --norm, --since would leave",
        ),
        (("--publish", "--setting", "known"), "and --setting would leave rows out"),
        (("--publish", "--optimizer", "sgd"), "and --optimizer would leave rows out"),
        (
            ("--publish", "--allow-incomplete"),
            "whose verdicts stand, and --allow-incomplete judges",
        ),
        (("--publish", "--current"), "and --current would leave rows out"),
        (("--stages", "10,5"), "expected growing numbers of seeds"),
        (("--alpha", "2"), "2.0 is not in the range"),
        (("--since", "1h"), "to compare. Give --since an earlier date"),
        (("--since", "1x"), "or how long ago, such as 2h or 1d"),
        (("--correction", "bonferroni"), "holm bounds the same probability and finds at least as"),
        (("--seeds", "3"), "--seeds 3: tables and figures take all seeds that their rows have"),
    ],
)
def test_wrong_input_says_how_to_mend_it(invoke, root, words, message):
    """What does not fit is an error with the fix, and exit code 2."""
    done = invoke("leaderboard", "--store", root, *words)

    assert 2 == done.exit_code
    assert message in done.stderr


def test_post_hoc_reference_is_exploratory(invoke, root):
    """A reference of the command line confirms nothing."""
    board = records(invoke, root, "leaderboard", "--reference", "batch_norm+sgd")[0]

    assert board["reference"]["post_hoc"]
    assert {"exploratory", "reference"} == {entry["verdict"] for entry in board["entries"]}


def test_published_numbers_stand_apart(invoke, tmp_path, catalogue):
    """What others published is below, not paired; the rows know nothing of it."""
    from normbench.resolve import Request, resolve
    from normbench.store import RunStore

    store = RunStore.open(tmp_path / "store", create=True)
    for spec in resolve(
        Request(problem="cifar10_resnet20", optimizer="momentum", seeds=3), catalogue
    ):
        publish(store.add(spec), 0.92)
    text = shown(invoke, store.root, "leaderboard", "--published")
    found = records(invoke, store.root, "leaderboard", "--published")

    assert "published by others, not paired with ours" in text
    assert [1, False] == [len(found[0]["entries"]), found[1]["paired"]]
    assert {"spherical", "group_norm_study"} == {r["protocol"] for r in found[1]["results"]}
    assert {(0.92, False, None)} == {
        (r["ours"], r["same_rules"], r["difference_not_paired"])
        for r in found[1]["results"]
        if (r["norm"], r["optimizer"]) == ("batch_norm", "momentum")
    }
    assert "; by n - 1 in" in " ".join(text.split())


def test_failed_and_pending_seeds_make_a_row_partial(invoke, root, tmp_path, catalogue):
    """A row with a failed seed shows how many it has, and no verdict beyond exploratory."""
    from normbench.resolve import Request, resolve
    from normbench.store import RunStore

    shutil.copytree(root, tmp_path / "copy")
    store = RunStore.open(tmp_path / "copy")
    request = Request(problem="digits_cnn", optimizer="sgd", norm="batch_norm", seeds=[6, 7])
    failed, _pending = (store.add(spec) for spec in resolve(request, catalogue))
    with failed.claim({}) as attempt:
        attempt.close(RunState.OUT_OF_MEMORY, "too big")
    text = shown(invoke, store.root, "leaderboard")

    assert "6/8" in text
    assert "batch_norm sgd has 6 of 8" in text
    assert 1 == text.count("exploratory ") + text.count("exploratory\n")


def test_tuning_runs_are_no_results(invoke, root, tmp_path, catalogue):
    """Runs at tuning seeds stay out of rows, whatever they scored."""
    from normbench.resolve import Request, resolve
    from normbench.store import RunStore

    shutil.copytree(root, tmp_path / "copy")
    store = RunStore.open(tmp_path / "copy")
    request = Request(problem="digits_cnn", optimizer="sgd", norm="batch_norm", seeds=[0])
    publish(store.add(replace(resolve(request, catalogue)[0], seed=100_000)), 1.0)
    before = records(invoke, root, "leaderboard")[0]
    after = records(invoke, store.root, "leaderboard")[0]

    assert before["digest"] == after["digest"]
    assert "Left out: 1 run at tuning seeds" in " ".join(after["notes"])


def test_compare_shows_every_seed_and_a_sentence(invoke, root):
    """Two rows: their seeds, what the test assumes, and what it comes to in words."""
    text = shown(invoke, root, "compare", "batch_norm+sgd", "none+sgd")
    words = " ".join(text.split())

    assert [str(seed) for seed in range(SEEDS)] == [
        line.split()[0] for line in text.splitlines()[2 : 2 + SEEDS]
    ]
    assert "The test accuracy of batch_norm with sgd is 4." in words
    assert "points higher (better) on average over 6 seeds" in words
    assert "hard to put down to chance." in words
    assert "with any one of them left out, p would be" in words


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("leaderboard",), 4),
        (("norms",), 4),
        (("optimizers",), 4),
        (("norms", "--base", "batch_norm"), 0),
        (("norms", "--correction", "none"), 0),
        (("norms", "--metric", "test_loss"), 0),
        (("norms", "--metric", "test_accuracy"), 4),
        (("leaderboard", "--metric", "test_accuracy"), 4),
        (("optimizers", "--since", "2001-01-01"), 4),
        (("norms", "--alpha", "0.1"), 0),
        (("compare", "batch_norm+momentum", "none+momentum"), 2),
        (("compare", "none+momentum", "batch_norm+momentum"), 2),
        (("compare", "batch_norm+sgd", "none+sgd"), 0),
        (("compare", "batch_norm+momentum", "none+momentum", "--metric", "test_loss"), 0),
    ],
)
def test_every_view_with_verdicts_is_noted_as_its_leaderboard_is(
    invoke, root, tmp_path, monkeypatch, words, rows
):
    """What was chosen for the view, and two rows that a table does not pair, fix nothing."""
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "copy" / "shown.jsonl").unlink(missing_ok=True)
    shown(invoke, tmp_path / "copy", *words)
    noted = read_shown(tmp_path / "copy")

    assert rows == len(noted)
    if rows:
        (tables,) = {table[1:] for (table,) in noted.values()}
        assert ("", SEEDS) == (tables[0], tables[2])
    if rows == 4:
        # Where all rows have their lines, no table is made for the lines alone.
        monkeypatch.delattr("normbench.leaderboard.boards.with_verdicts")
        shown(invoke, tmp_path / "copy", "optimizers", "--alpha", "0.04")
        assert noted == read_shown(tmp_path / "copy")
        assert tables[1] in noted


def test_compare_swapped_is_the_mirror(invoke, root):
    """Exchanging the rows changes signs and nothing else."""
    there = records(invoke, root, "compare", "batch_norm+sgd", "none+sgd")[0]
    back = records(invoke, root, "compare", "none+sgd", "batch_norm+sgd")[0]

    assert pytest.approx(there["p_two_sided"]) == back["p_two_sided"]
    assert pytest.approx(-there["comparison"]["difference"]) == back["comparison"]["difference"]
    assert "lower (worse)" in back["in_words"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("batch_norm+sgd", "batch_norm+sgd"), "both words name the row"),
        (("sgd", "none+sgd"), "names 2 rows: expected one"),
        (("layer_norm", "none+sgd"), "Did you mean"),
    ],
)
def test_compare_refuses_what_is_no_pair(invoke, root, words, message):
    """One row twice, words for several rows or none are errors with the fix."""
    done = invoke("compare", *words, "--store", root)

    assert 2 == done.exit_code
    assert message in done.stderr


def test_norms_and_optimizers_are_averaged_by_seed(invoke, root):
    """The main effect of batch norm is the mean of its effects with both optimizers."""
    norms = records(invoke, root, "norms")[0]["table"]
    optimizers = records(invoke, root, "optimizers")[0]["table"]
    simple = [effect["difference"] for effect in norms["simple"]]

    assert pytest.approx(sum(simple) / 2) == norms["main"][0]["difference"]
    assert (SEEDS, 2) == (norms["main"][0]["n"], norms["main"][0]["levels"])
    assert ["sgd"] == [effect["level"] for effect in optimizers["main"]]


def test_base_of_an_ablation_can_be_named(invoke, root):
    """Another base mirrors the effect, and the table says that it was chosen."""
    table = records(invoke, root, "norms", "--base", "batch_norm")[0]

    assert table["table"]["main"][0]["difference"] < 0
    assert "The base was chosen" in " ".join(table["left_out"])


def test_empty_store_says_what_to_do(invoke, filler):
    """Without runs there is nothing to compare."""
    done = invoke("leaderboard", "--store", filler.root)

    assert 2 == done.exit_code
    assert "Train some: normbench run PROBLEM OPTIMIZER" in done.stderr


def test_a_suite_chooses_rows_and_declares_their_reference(invoke, root, tmp_path):
    """Only the suite's rows are shown, and what it declares to compare with is not post hoc."""
    file = tmp_path / "small.yaml"
    file.write_text(
        "problem: digits_cnn\nnorms: [none, batch_norm]\noptimizers: [sgd]\n"
        "reference: {norm: batch_norm}\n",
        encoding="utf-8",
    )
    board = records(invoke, root, "leaderboard", "--suite", file)[0]

    assert {"reference", "worse"} == {entry["verdict"] for entry in board["entries"]}
    assert ["batch_norm", "none"] == [entry["norm"] for entry in board["entries"]]
    assert not board["reference"]["post_hoc"]


def test_a_suite_without_rows_in_the_store_is_refused(invoke, root, tmp_path):
    """The message says how to train them, and that words make other rows."""
    file = tmp_path / "other.yaml"
    file.write_text("problem: digits_cnn\noptimizers: [adam]\n", encoding="utf-8")
    done = invoke("leaderboard", "--store", root, "--suite", file)

    assert 2 == done.exit_code
    assert "has none of the 1 rows of suite" in done.stderr
    assert "normbench suite run" in done.stderr


def test_a_plugin_can_offer_published_numbers(invoke, root, plugin_file):
    """Numbers of a one-off file stand beside ours, with their label and as text."""
    file = plugin_file(
        "from normbench import Publication, PublishedResult, Source, hookimpl\n"
        "def numbers(name):\n"
        "    return [PublishedResult(problem='digits_cnn', norm='none', optimizer='sgd',\n"
        "        protocol='standard', metric='test_accuracy', mean=0.9, label='<b>by hand</b>',\n"
        "        source=Source(title=name))]\n"
        "@hookimpl\n"
        "def normbench_publications():\n"
        "    return [Publication(name='mine', summary='by hand', factory=numbers)]\n"
    )
    words = ("leaderboard", "--published", "--plugin", file)
    found = records(invoke, root, *words)[1]["results"][0]

    assert pytest.approx(found["ours"] - 0.9) == found["difference_not_paired"]
    assert "&lt;b&gt;by hand&lt;/b&gt;" in shown(invoke, root, *words, "--format", "html")
