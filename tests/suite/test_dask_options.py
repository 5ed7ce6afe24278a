"""The Dask launcher without a cluster: its options, its refusals, and how it shares GPUs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from normbench import UsageError
from normbench.launchers import dask_worker
from normbench.launchers.dask_options import connected, read_options

CONNECT = """
import os, sys
from normbench import UsageError
from normbench.launchers.dask_options import connected, read_options
try:
    connected(read_options({"address": sys.argv[1], "timeout": "0.3"})).__enter__()
except UsageError as error:
    print(error, flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "no scheduler is named.*dask scheduler.*dask worker"),
        ({"address": "local", "scheduler_file": "f"}, "both address= and scheduler_file="),
        ({"adress": "local"}, "unknown option of launcher dask 'adress'. Did you mean 'address'"),
        ({"address": "host"}, "expected local or an address with its port"),
        ({"address": "local", "timeout": "soon"}, "timeout=soon: expected seconds above 0"),
        ({"address": "local", "worker-timeout": "0"}, "worker_timeout=0: expected seconds"),
        ({"scheduler_file": "nowhere.json"}, "scheduler_file=nowhere.json: No such file"),
    ],
)
def test_wrong_options_say_what_is_expected(words, message):
    """Each mistake in the launcher's options is named with its remedy."""
    with pytest.raises(UsageError, match=message):
        read_options(words)


def test_scheduler_file_names_the_address(tmp_path):
    """The file that `dask scheduler --scheduler-file` writes stands for the address in it."""
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://10.0.0.1:8786", "workers": {}}))

    assert "tcp://10.0.0.1:8786" == read_options({"scheduler-file": str(file)}).address
    file.write_text("no JSON")
    with pytest.raises(UsageError, match="not what `dask scheduler --scheduler-file` writes"):
        read_options({"scheduler_file": str(file)})


def test_missing_package_names_the_extra(monkeypatch):
    """Without distributed the launcher says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = read_options({"address": "tcp://127.0.0.1:8786"})

    with pytest.raises(UsageError, match=r"pip install -c constraints.txt '\.\[dask\]'"):
        connected(options).__enter__()


def test_silent_scheduler_is_one_sentence():
    """Where something listens but no scheduler answers, the launcher says so after its timeout."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        # In a process of its own: clusters of other tests leave threads behind in this one.
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, address], capture_output=True, text=True, timeout=240
        )

    assert f"no Dask scheduler answered at {address} within 0.3" in done.stdout, done.stderr


def test_look_finds_what_a_worker_cannot_see(tmp_path):
    """A Dask worker reports a store and files that are not there, its threads and its GPUs."""
    here = tmp_path / "launch.json"
    here.touch()
    worker = SimpleNamespace(state=SimpleNamespace(nthreads=3, total_resources={"GPU": 2.0}))
    seen = dask_worker.look(str(here), [str(tmp_path / "plugin.py")], worker)

    assert (True, True, 3, 2) == tuple(seen[key] for key in ("sees", "writes", "threads", "gpus"))
    assert [str(tmp_path / "plugin.py")] == seen["missing"]
    assert not dask_worker.look(str(tmp_path / "elsewhere"), [], worker)["sees"]


@pytest.fixture
def four_gpus(tmp_path, monkeypatch):
    """Pretend that this machine has GPUs 4 to 7, and that nobody uses them."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")


def test_dask_workers_of_one_machine_share_its_gpus(four_gpus):
    """Each gets as many GPUs as it declares, or all that are left, and never another's."""
    with (
        dask_worker.devices_here("auto", None, 1, 1) as (one, first),
        dask_worker.devices_here("cuda", "2", 1, 2) as (two, second),
        dask_worker.devices_here("auto", None, 1, 2) as (none, _),
        dask_worker.devices_here("auto", None, 1, 0) as (rest, third),
    ):
        assert (["--device", "cuda"], {"CUDA_VISIBLE_DEVICES": "4"}) == (one, first)
        assert ["--device", "cuda", "--slots", "2"] == two
        assert {"CUDA_VISIBLE_DEVICES": "5,6"} == second
        assert [] == none
        assert (["--device", "cuda"], {"CUDA_VISIBLE_DEVICES": "7"}) == (rest, third)
    with dask_worker.devices_here("cuda", None, 1, 4) as (_, all_four):
        assert {"CUDA_VISIBLE_DEVICES": "4,5,6,7"} == all_four


def test_processor_has_a_slot_for_each_thread_of_the_dask_worker(monkeypatch):
    """Without GPUs a Dask worker trains as many runs at once as it has threads, or as asked."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with dask_worker.devices_here("auto", None, 3, 0) as (words, variables):
        assert (["--device", "cpu", "--slots", "3"], {}) == (words, variables)
    with dask_worker.devices_here("cpu", "5", 3, 0) as (words, _):
        assert ["--device", "cpu", "--slots", "5"] == words
    with dask_worker.devices_here("auto", None, 3, 1) as (words, _):
        assert [] == words


def test_draining_that_waits_for_its_turn_can_be_stopped(tmp_path):
    """A Dask worker drains for one launch at a time; one that waits is stopped without starting."""
    launch = tmp_path / "launches" / "one"
    with ThreadPoolExecutor(1) as threads, dask_worker.HERE.turn:
        place = {"device": "cpu", "slots": None, "threads": 1, "gpus": 0}
        waiting = threads.submit(dask_worker.drain, str(launch), [], place, {})
        dask_worker.stop(str(launch))

        assert 130 == waiting.result(timeout=30)[0]
    assert not launch.exists()
