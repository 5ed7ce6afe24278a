"""``normbench cancel``: runs by name, and launches by their id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from normbench.descriptions import Launcher
from normbench.launchers.base import LaunchRequest
from normbench.launchers.cancelling import cancel_launch, find_launch
from normbench.launchers.launches import LaunchFolder
from normbench.plugins import load_catalogue
from normbench.store import RunState, processes


@pytest.fixture
def launch(filler, tmp_path):
    """Return a function that makes the folder of a launch as another process would."""

    def made(launcher: str = "local", **values) -> LaunchFolder:
        request = LaunchRequest(store=filler.root, data_folder=tmp_path)
        folder = LaunchFolder.create(launcher, request)
        folder.note(**values)
        return folder

    return made


@pytest.fixture
def driver():
    """A process that waits to be stopped."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_runs_are_cancelled_by_words_and_beginnings(invoke, filler):
    """Both ways of naming runs mark them, and others are left alone."""
    sgd, adam = filler.pending(2), filler.pending(2, "adam")
    by_word = invoke("cancel", "optimizer=adam", "--store", filler.root)
    by_name = invoke("cancel", sgd[0].fingerprint[:8], "--store", filler.root)

    assert ["cancelled 2 runs\n", "cancelled 1 run\n"] == [by_word.stdout, by_name.stdout]
    assert {RunState.CANCELLED} == {run.state() for run in (*adam, sgd[0])}
    assert RunState.PENDING == sgd[1].state()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "cancel names no run"),
        (("--launch", "x"), "unknown launch 'x'"),
        (("optimizer=adm",), "Did you mean 'adam'"),
        (("zz",), "zz"),
    ],
)
def test_wrong_words_are_refused(invoke, filler, words, message):
    """Nothing is cancelled by a call that names nothing, or what is not there."""
    runs = filler.pending(1, "adam")
    found = invoke("cancel", *words, "--store", filler.root)

    assert 2 == found.exit_code
    assert message in found.stderr
    assert RunState.PENDING == runs[0].state()


def test_driver_on_this_machine_is_stopped(invoke, filler, launch, driver):
    """A local launch is ended by SIGTERM to its driver; a second call says that it has ended."""
    folder = launch(pid=driver.pid, process_started=processes.started(driver.pid))
    words = ("cancel", "--launch", folder.id, "--store", filler.root)
    first, second = invoke(*words).stdout, invoke(*words).stdout
    deadline = time.monotonic() + 30
    while driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)

    assert -signal.SIGTERM == driver.poll()
    assert f"launch {folder.id} was stopped\n" == first
    assert f"launch {folder.id} has ended already\n" == second


def test_driver_elsewhere_is_left_alone(invoke, filler, launch):
    """The process number of another machine means nothing here; the message says where to go."""
    folder = launch(host="elsewhere", boot="another", pid=os.getpid())
    found = invoke("cancel", "--launch", folder.id, "--store", filler.root)

    assert 2 == found.exit_code
    assert "driven from elsewhere, not from here" in found.stderr
    assert f"Stop it there: normbench cancel --launch {folder.id}" in found.stderr


def test_driver_before_a_restart_is_left_alone(invoke, filler, launch, driver):
    """After a restart, or in another container, its number is that of some other process."""
    folder = launch(boot="another", pid=driver.pid, process_started=processes.started(driver.pid))
    found = invoke("cancel", "--launch", folder.id, "--store", filler.root)

    assert 2 == found.exit_code
    assert "before that was started anew, or from a container there" in found.stderr
    assert driver.poll() is None


def test_launcher_with_its_own_way_is_asked(launch):
    """A launcher that can cancel does, wherever its jobs run; it is told which launch."""
    asked = []

    class Cluster:
        def cancel(self, folder):
            asked.append(folder.id)
            folder.note(ended=1.0)

    catalogue = load_catalogue()
    catalogue.add(Launcher(name="cluster", summary="", factory=Cluster), "mine", "file")
    folder = launch("cluster", host="elsewhere", boot="another")

    assert f"launch {folder.id} was stopped" == cancel_launch(folder, catalogue)
    assert f"launch {folder.id} has ended already" == cancel_launch(folder, catalogue)
    assert [folder.id] == asked


def test_launch_is_found_by_its_beginning(filler, launch):
    """A beginning that two launches share is not clear."""
    first, second = launch(), launch("dask")
    # Both begin with the year.
    shared = first.id[:4]

    assert second == find_launch(filler.root, second.id)
    with pytest.raises(Exception, match="is not clear"):
        find_launch(filler.root, shared)
