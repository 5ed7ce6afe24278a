"""Limits of runs and of their workers, and how long runs are thought to take."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import torch

from normbench.errors import UsageError
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.worker.limits import (
    TimeLimit,
    TimeLimitError,
    check_memory_limit,
    is_out_of_memory,
)
from normbench.worker.predictions import Predictor, epochs_left

GREEDY = """
import torch
from normbench.worker.limits import is_out_of_memory, lift_memory_limit, limit_memory
limit_memory(2**29, torch.device("cpu"))
small = torch.ones(2**24)
for attempt in (lambda: torch.ones(2**28), lambda: bytearray(2**30)):
    try:
        attempt()
    except Exception as error:
        print(is_out_of_memory(error))
lift_memory_limit()
print(len(bytearray(2**30)) == 2**30)
"""


@pytest.fixture
def runs(tmp_path):
    """Two runs of one row."""
    store = RunStore.open(tmp_path / "store", create=True)
    words = ["protocol.epochs=10"]
    request = Request(problem="quadratic_deep", optimizer="sgd", words=words, seeds=[0, 1])
    return [store.add(spec) for spec in resolve(request, load_catalogue())]


def test_allocations_beyond_the_limit_fail_in_the_worker():
    """torch's and Python's own; what is below the limit is had, and without it the rest too."""
    done = subprocess.run(
        [sys.executable, "-c", GREEDY], capture_output=True, text=True, check=False
    )

    assert ["True"] * 3 == done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_only_lack_of_memory_counts_as_such(error, expected):
    """Each library has its own words for it."""
    assert expected is is_out_of_memory(error)


def test_a_memory_limit_below_an_idle_worker_is_refused():
    """The error names the limit and what a worker holds before it trains; more is accepted."""
    check_memory_limit(None)
    check_memory_limit(2**40)

    with pytest.raises(UsageError, match=r"--memory-limit 1M: a worker holds [\d.]+ .iB once"):
        check_memory_limit(2**20)


def test_time_up_to_the_checkpoint_counts():
    """A run that goes on has what its limit leaves; without a limit it has all the time."""
    limit = TimeLimit(100.0, spent=60.0)
    TimeLimit(None, spent=1e9).check()
    limit.check()

    packed = TimeLimit(100.0, spent=60.0, pack=3)
    assert [40.0, 240.0] == pytest.approx([each.ends - each.began for each in (limit, packed)])
    with pytest.raises(TimeLimitError, match=r"limit of 1 min 40 s.* It goes on after epoch 3"):
        TimeLimit(100.0, spent=101.0).check(3)
    with pytest.raises(TimeLimitError, match="It has no checkpoint yet and starts again"):
        TimeLimit(100.0, spent=101.0).check()


def test_runs_are_predicted_by_their_row_and_their_checkpoint(tmp_path, runs):
    """Nothing is known at first; then each epoch that is left takes what one took."""
    predictor = Predictor(RunStore.open(tmp_path / "store"))
    before = predictor.seconds(runs[0])
    predictor.learn(runs[1], epochs=10, seconds=50.0)
    whole = predictor.seconds(runs[0])
    with runs[0].claim({}) as attempt:
        attempt.save_checkpoint(lambda path: path.write_bytes(b"weights"), epoch=8)

    assert (None, 50.0, 10.0) == (before, whole, predictor.seconds(runs[0]))
    assert 2 == epochs_left(runs[0])


@pytest.mark.parametrize(("company", "alone"), [({}, 40.0), ({"pack": 8}, 5.0)])
def test_finished_runs_of_the_store_predict(tmp_path, runs, company, alone):
    """A worker that has trained nothing knows what earlier ones published, by their part."""
    with runs[1].claim({}) as attempt:
        seconds = {"train_seconds": 30.0, "evaluation_seconds": 10.0}
        attempt.publish({"outcome": "finished", "score": 1.0, "epochs": 10, **seconds, **company})

    assert alone == Predictor(RunStore.open(tmp_path / "store")).seconds(runs[0])
