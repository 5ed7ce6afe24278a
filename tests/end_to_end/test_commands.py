"""The command line as a user meets it: real processes, exit codes, and no traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHORT = ("--seeds", "2", "protocol.epochs=2", "--no-track")
# Where nothing depends on two workers: each imports torch.
ONE = ("--slots", "1")
DEADLINE = 300.0


def normbench(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in an empty directory."""
    return subprocess.run(
        [sys.executable, "-m", "normbench", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def report(done: subprocess.CompletedProcess[str]) -> dict:
    """Return the JSON that a command printed, which must have succeeded."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_run_trains_once_and_keeps_what_is_done(tmp_path):
    """The same command again trains nothing, and more seeds train only the new ones.

    A person reads mean, spread, n, outcome, and where the results are.
    """
    words = ("run", "digits_cnn_bn", "sgd", *SHORT[2:], *ONE, "--store", "here")
    first = report(normbench(*words, "--json", "--seeds", "2", cwd=tmp_path))
    again = report(normbench(*words, "--json", "--seeds", "2", cwd=tmp_path))
    more = normbench(*words, "--seeds", "3", cwd=tmp_path)

    assert [2, 0, 0] == [first["trained"], again["trained"], more.returncode]
    assert first["rows"] == again["rows"]
    for shown in ("digits_cnn", "batch_norm", "mean", "sd", "untuned", "protocol.epochs=2"):
        assert shown in more.stdout
    assert re.search(r"\b3 finished\b(.|\n)*^Runs: 1 finished now.*: here$", more.stdout, re.M)
    assert (tmp_path / "here" / "store.json").is_file()


def test_dry_run_leaves_no_store(tmp_path):
    """Nothing is written and nothing trained."""
    done = normbench("run", "digits_cnn_bn", "sgd", *SHORT, "--dry-run", cwd=tmp_path)

    assert 0 == done.returncode
    assert "nothing was trained" in done.stdout
    assert [] == list(tmp_path.iterdir())


def test_enqueued_runs_are_trained_by_a_worker_elsewhere(tmp_path):
    """Specs resolved here are trained by a bare worker, which imports no harness library."""
    normbench("run", "digits_cnn_bn", "sgd", *SHORT, "--enqueue", "--store", "s", cwd=tmp_path)
    script = (
        "import sys; from normbench.worker import main; code = main(['--store', 's', '--device', "
        "'cpu']); print(sorted({'click','omegaconf','mlflow','coloredlogs','matplotlib'} "
        "& set(sys.modules))); sys.exit(code)"
    )
    worked = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    status = report(normbench("status", "--json", "--store", "s", cwd=tmp_path))

    assert 0 == worked.returncode, worked.stderr
    assert "[]" == worked.stdout.strip()
    assert "finished" in json.dumps(status)


def test_interrupted_run_is_resumed(tmp_path):
    """Ctrl-C ends with 130 and the command to go on; it finishes the same runs."""
    words = ("run", "digits_cnn_bn", "sgd", "--seeds", "2", "protocol.epochs=400", "--no-track")
    driver = subprocess.Popen(
        [sys.executable, "-m", "normbench", *words, "-v"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert driver.stderr is not None
    deadline = time.monotonic() + DEADLINE
    for line in driver.stderr:
        assert time.monotonic() < deadline
        if "train loss" in line:
            break
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=DEADLINE)[1]
    listed = report(normbench("status", "--json", cwd=tmp_path))

    assert 130 == driver.returncode
    again = f"normbench {' '.join(words)} -v --store {tmp_path / 'normbench-runs'}"
    assert f"Go on with: {again}" in said
    assert "Traceback" not in said
    assert "interrupted" in json.dumps(listed)


MISTAKES = [
    (("run", "digits_cn", "sgd"), "Did you mean 'digits_cnn'"),
    (("run", "digits_cnn", "sdg"), "Did you mean 'sgd'"),
    (("run", "digits_cnn", "sgd", "--norm", "groupnorm"), "Did you mean 'group_norm'"),
    (("run", "digits_cnn", "sgd", "--protocol", "standrad"), "Did you mean 'standard'"),
    (("run", "digits_cnn", "sgd", "lrr=1"), "Did you mean 'lr'"),
    (("run", "digits_cnn", "sgd", "lr=abc"), "expected a number"),
    (("run", "digits_cnn", "sgd", "lr=-1"), "at least 0"),
    (("run", "digits_cnn_bn", "sgd", "--sites", "1,0"), "has 3 norm sites"),
    (("run", "digits_cnn_bn", "sgd", "--sites", "1,0,2"), "is no mask"),
    (("run", "digits_cnn_bn", "sgd", "--sites", "0,0"), "has 3 norm sites"),
    (("run", "digits_cnn", "sgd", "--ablation", "fixed"), "Give a norm with --norm"),
    (("run", "digits_cnn", "sgd", "epochs=3"), "Did you mean protocol.epochs="),
    (("run", "digits_cnn", "sgd", "--device", "tpu", "--dry-run"), "expected auto, cpu, cuda"),
    (("run", "digits_cnn", "sgd", "--plugin", "empty.py"), "offers nothing"),
    (("run", "digits_cnn", "sgd", "--plugin", "raises.py"), "failed in normbench_norms"),
    (
        ("run", "digits_cnn", "sgd", "--norm", "group_norm", "norm.num_groups=7"),
        "num_groups",
    ),
    (("run", "cifar10_3c3d", "sgd", "--norm", "instance_norm"), "--sites 1,1,1,0,0"),
    (("run", "quadratic_deep", "sgd", "--norm", "batch_norm"), "has no norm sites"),
    (("run", "digits_cnn", "sgd", "--seeds", "0"), "at least 1"),
    (("run", "digits_cnn", "sgd", "--seeds=-2"), "at least 1"),
    (("run", "digits_cnn", "sgd", "--seeds=1,-2"), "negative"),
    (("run", "digits_cnn", "sgd", "--seeds", "many"), "a number of seeds"),
    (("run", "digits_cnn", "sgd", "--config", "none.yaml"), "does not exist"),
    (("run", "digits_cnn", "sgd", "--config", "typo.yaml"), "Did you mean 'lr'"),
    (("run", "digits_cnn", "sgd", "--device", "tpu"), "expected auto, cpu, cuda"),
    (("run", "digits_cnn", "sgd", "--device", "cuda:9"), "Use --device cpu"),
    (("run", "digits_cnn", "sgd", "problem.batch_size=5000"), "Give a smaller batch size"),
    (("run", "digits_cnn", "sgd", "problem.augmentation=turn"), "unknown augmentation 'turn'"),
    (("run", "cifar10_3c3d", "sgd", "--data-dir", "nowhere"), "normbench prepare cifar10_3c3d"),
    (("run", "cifar10_3c3d", "sgd", "--data-dir", "truncated"), "is corrupt"),
    (("run", "digits_cnn", "their_sgd", "--plugin", "no.py"), "does not exist"),
    (("run", "digits_cnn", "sgd", "--plugin", "broken.py"), "could not be loaded"),
    (("run", "digits_cnn", "sgd", "--plugin", "again.py"), "is offered by"),
    (("run", "digits_cnn", "sgd", "--plugin", "hook.py"), "Did you mean 'normbench_norms'"),
    (("run", "digits_cnn", "sgd", "--store", "newer"), "Upgrade normbench"),
    (("status", "--store", "nothing"), "there is no run store"),
    (("describe", "adamm"), "adam"),
    (("lits",), "Did you mean 'list'"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a directory with files that are each wrong in one way."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "typo.yaml").write_text("lrr: 0.1\n")
    (folder / "broken.py").write_text("import no_such_module\n")
    (folder / "again.py").write_text(
        "import normbench\n\n@normbench.hookimpl\ndef normbench_optimizers():\n"
        "    return [normbench.Optimizer(name='sgd', summary='mine', factory=print)]\n"
    )
    (folder / "hook.py").write_text("def normbench_norm():\n    return []\n")
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "raises.py").write_text(
        "import normbench\n\n@normbench.hookimpl\ndef normbench_norms():\n    return 1 / 0\n"
    )
    batches = folder / "truncated" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in ("data_batch_1", "data_batch_2", "batches.meta", "test_batch"):
        (batches / name).write_bytes(b"cut off")
    (folder / "newer").mkdir()
    (folder / "newer" / "store.json").write_text('{"schema": 99, "written_by": "9.0.0"}')
    return folder


@pytest.mark.parametrize(("words", "help_"), MISTAKES, ids=lambda value: " ".join(value)[:60])
def test_mistake_is_answered_with_its_fix(words, help_, folder, monkeypatch, capfd):
    """Exit code 2, one short message that helps, no traceback, nothing trained."""
    from normbench.cli import cli

    monkeypatch.chdir(folder)
    monkeypatch.delenv("NORMBENCH_DATA", raising=False)
    with pytest.raises(SystemExit) as exit_:
        cli(list(words), prog_name="normbench")

    said = capfd.readouterr().err
    assert help_ in said
    assert "Traceback" not in said
    assert len(said) < 1200
    assert 2 == exit_.value.code
    assert not (folder / "normbench-runs").exists()
