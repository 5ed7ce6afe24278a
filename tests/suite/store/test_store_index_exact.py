"""The index says what the files say, whatever happened to the runs between two looks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from normbench.errors import LeaseLostError
from normbench.specs import ComponentSpec
from normbench.store import RunState, RunStore, index_stamps, indexing, merge_store
from normbench.store.claims import is_held
from normbench.store.folders import is_cancelled, list_attempts
from normbench.store.strikes import count_strikes

WEIGHTS = "ab" * 32
RESULT = {"score": 0.1, "train_seconds": 2.0, "epochs": 3, "weights_sha256": WEIGHTS}
ENDS = ("failed", "interrupted", "killed", "timed_out")
ANGLES = ComponentSpec(name="angles")


def told_by_files(run):
    """Return what the files of *run* say, asked one by one."""
    state, attempts = run.state(), list_attempts(run.path)
    done, result = state in ("finished", "diverged"), run.result() or {}
    points = run.points()
    waiting = not done or bool(run.lacking())
    return {
        "row": run.spec.row,
        "seed": run.spec.seed,
        "state": state,
        "score": result.get("score"),
        "epoch": result.get("epochs", 0) if done else points[-1]["epoch"] if points else 0,
        "message": "" if done or not attempts else run.attempts()[-1].message,
        "lacking": bool(run.lacking()),
        "cancelled": is_cancelled(run.path),
        "held": waiting and is_held(attempts, run.clock.now()),
        "strikes": count_strikes(attempts, run.clock.now()) if waiting else 0,
    }


def told_by_index(index):
    """Return the same of all runs from the index."""
    names = ("row", "seed", "state", "score", "epoch", "message")
    names += ("lacking", "cancelled", "held", "strikes")
    return {
        fingerprint: {name: getattr(run, name) for name in names}
        for fingerprint, run in index.runs.items()
    }


class Stores(RuleBasedStateMachine):
    """Two stores that workers, users and other machines change in any order."""

    runs = Bundle("runs")

    def __init__(self, make_spec):
        super().__init__()
        # In memory, where writing files through to the disk takes no time.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        self.folder = Path(tempfile.mkdtemp(prefix="normbench-index-", dir=place))
        self.make_spec = make_spec
        self.store = RunStore.open(self.folder / "store", create=True)
        self.other = RunStore.open(self.folder / "other", create=True)
        self.attempts = []

    def teardown(self):
        shutil.rmtree(self.folder)

    @invariant()
    def index_says_what_the_files_say(self):
        """Of a process that looks again and again, and of one that looks first."""
        expected = {run.fingerprint: told_by_files(run) for run in self.store.runs()}
        for store in (self.store, RunStore.open(self.store.root)):
            assert expected == told_by_index(store.index())
            few = store.indexed(expected)
            assert expected == {name: told_by_index(store.index())[name] for name in few}
        now = self.store._clock.touched()
        while now == self.store._clock.touched():
            pass  # what changes next bears another time

    @rule(target=runs, seed=st.sampled_from([0, 1, 100_000]))
    def add(self, seed):
        self.other.add(self.make_spec(seed))
        return self.store.add(self.make_spec(seed))

    @rule(run=runs, for_series=st.booleans())
    def claim(self, run, for_series):
        if run.path.exists() and (attempt := run.claim({}, for_series=for_series)):
            self.attempts.append(attempt)

    @precondition(lambda self: self.attempts)
    @rule(number=st.integers(0, 99), end=st.sampled_from(["", "finished", "diverged", *ENDS]))
    def work(self, number, end):
        """A worker appends and checkpoints, or ends its attempt, which it may have lost."""
        attempt = self.attempts[number % len(self.attempts)]
        try:
            self.go_on(attempt, end)
        except LeaseLostError:
            attempt._end()
            end = "lost"
        if end:
            self.attempts.remove(attempt)

    def go_on(self, attempt, end):
        if not end:
            attempt.append({"epoch": 1 + len(attempt.points)})
            attempt.save_checkpoint(lambda path: path.write_bytes(b"0"), epoch=1)
            return
        if end == "finished":
            attempt.write_series("angles", b"series")
            declared = {"observer": dataclasses.asdict(ANGLES), "weights_sha256": WEIGHTS}
            attempt.publish_series("angles", declared)
        if end in ENDS or attempt.for_series:
            attempt.close(RunState(end), f"made to be {end}")
        else:
            attempt.publish({**RESULT, "outcome": end})

    @precondition(lambda self: self.attempts)
    @rule(number=st.integers(0, 99), age=st.sampled_from([1, None]))
    def stir(self, number, age):
        """A worker falls silent, or wakes and beats again."""
        attempt = self.attempts[number % len(self.attempts)]
        with contextlib.suppress(FileNotFoundError):
            os.utime("heartbeat", age and (age, age), dir_fd=attempt._folder)

    @rule(run=runs, what=st.sampled_from(["cancel", "readmit"]))
    def mark(self, run, what):
        if run.path.exists():
            getattr(run, what)()

    @rule(run=runs)
    def ask(self, run):
        if run.path.exists():
            run.ask([ANGLES])

    @rule(run=runs, end=st.sampled_from(["", "finished", "failed"]))
    def come_home(self, run, end):
        """Another machine trains the run, and its store is merged into this one."""
        attempt = self.other.get(run.fingerprint).claim({})
        if attempt is not None:
            attempt.append({"epoch": 2})
            if end:
                self.go_on(attempt, end)
        merge_store(self.other.root, self.store)

    @rule(run=runs)
    def delete(self, run):
        shutil.rmtree(run.path, ignore_errors=True)


def test_index_says_what_the_files_say(make_spec, monkeypatch):
    """After any sequence of claims, deaths, results, marks, merges and deletions."""
    # What is read may be kept at once: the test itself waits until the clock has moved on.
    monkeypatch.setattr(index_stamps, "_TICK", 0)
    monkeypatch.setattr(indexing, "SMALL", 0)
    run_state_machine_as_test(
        lambda: Stores(make_spec),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
