"""``normbench deepobs``: runs of a store go out in DeepOBS's form and come back."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from normbench.bridges.deepobs import read_results


def test_written_runs_come_back(invoke, filler, tmp_path):
    """Every finished run is found again with its setting, seed and whole curves."""
    filler.ended("finished", 2, words=("lr=0.05",))
    done = invoke("deepobs", "write", tmp_path / "out", "--store", filler.root)

    assert 0 == done.exit_code, done.stderr
    runs = read_results(tmp_path / "out")
    assert [0, 1] == sorted(run.seed for run in runs)
    for run in runs:
        assert ("1.2", "digits_cnn", "sgd", "finished") == (
            run.dialect,
            run.problem,
            run.optimizer,
            run.status,
        )
        assert 0.05 == run.hyperparameters["lr"]
        assert {4} == {len(c) for part in run.curves.values() for c in part.values()}
        assert pytest.approx(1 / (1 + 0.5 + 0.01 * run.seed)) == run.final


def test_diverged_run_is_filled_up_and_read_as_diverged(invoke, filler, tmp_path):
    """What DeepOBS's own readers need, equal lengths, and what ours needs, the outcome."""
    filler.ended("diverged", 1)
    invoke("deepobs", "write", tmp_path / "out", "--store", filler.root)
    (run,) = read_results(tmp_path / "out")

    assert ("diverged", 2) == (run.status, run.diverged_epoch)
    assert 4 == len(run.curves["test"]["loss"])


def test_rows_never_share_a_folder(invoke, filler, tmp_path):
    """Two norms in one problem and setting lie apart, though DeepOBS knows no norms."""
    filler.ended("finished", 1)
    filler.ended("finished", 1, norm="layer_norm")
    filler.ended("finished", 1, problem="digits_cnn")
    invoke("deepobs", "write", tmp_path / "out", "--store", filler.root)
    runs = read_results(tmp_path / "out")

    assert 3 == len({run.setting for run in runs})
    norms = {run.training_parameters.get("norm") for run in runs}
    assert {"batch_norm", "layer_norm", None} == norms


def test_writing_twice_changes_nothing(invoke, filler, tmp_path):
    """The same run always goes to the same file, with the same bytes."""
    filler.ended("finished", 2)
    words = ("deepobs", "write", tmp_path / "out", "norm=batch_norm", "--store", filler.root)

    def written():
        assert 0 == invoke(*words).exit_code
        return {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}

    assert written() == written()


def test_read_shows_a_line_for_each_setting(invoke, filler, tmp_path):
    """The table holds problem, optimizer, setting, seeds and moments; the JSON the curves."""
    filler.ended("finished", 3)
    invoke("deepobs", "write", tmp_path / "out", "--store", filler.root)
    lines = invoke("deepobs", "read", tmp_path / "out").stdout.splitlines()
    (record,) = json.loads(invoke("deepobs", "read", tmp_path / "out", "--json").stdout)

    assert 2 == len(lines)
    assert "lr=0.1" in lines[1]
    assert lines[1].endswith("3 finished")
    assert 3 == record["n"] == len(record["runs"])
    assert "test_accuracy" == record["metric"]


@pytest.mark.parametrize("words", [("read", "nowhere"), ("write", "out")])
def test_nothing_to_do_is_wrong_usage(words, invoke, filler):
    """A folder without results, and a store without finished runs, end with 2 and the fix."""
    filler.pending()
    more = ("--store", filler.root) if words[0] == "write" else ()
    done = invoke("deepobs", *words, *more)

    assert 2 == done.exit_code
    assert "Traceback" not in done.stderr


ANALYSE = """
import sys, warnings
import matplotlib
matplotlib.use("Agg")
warnings.simplefilter("ignore")
from deepobs.analyzer import analyze
results, targets = sys.argv[1:]
analyze.check_output(results)
analyze.plot_testset_performances(results, show=False)
table = analyze.get_performance_dictionary(results + "/cifar10_3c3d/sgd", conv_perf_file=targets)
print("performance", table["Performance"])
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepobs") is None, reason="deepobs 1.2.0b0 is not installed")
def test_deepobs_reads_what_we_write(invoke, filler, tmp_path):
    """DeepOBS's own analyzer finds nothing corrupt, draws the curves, and takes the mean."""
    for problem in ("cifar10_3c3d", "fmnist_2c2d"):
        filler.ended("finished", 2, problem=problem)
        filler.ended("diverged", 1, "adam", problem=problem)
    invoke("deepobs", "write", tmp_path / "out", "--store", filler.root)
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps({"cifar10_3c3d": 0.5, "fmnist_2c2d": 0.5}))
    command = [sys.executable, "-c", ANALYSE, str(tmp_path / "out"), str(targets)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert 0 == done.returncode, done.stderr
    assert "corrupted" not in done.stdout
    means = [run.final for run in read_results(tmp_path / "out" / "cifar10_3c3d" / "sgd")]
    assert pytest.approx(sum(means) / 2) == float(done.stdout.split()[-1])
