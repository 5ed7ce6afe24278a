"""Processes that race and die for real, many times over, in one store.

    storms.py crash_points|kills|publishers|takeovers STORE ROUNDS

Each round works on a run of its own in children made by fork, and then checks the store as any
reader would. Exits with a traceback if anything is amiss.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from conftest import _make_spec
from normbench.errors import LeaseLostError
from normbench.specs import ComponentSpec
from normbench.store import Attempt, RunState, RunStore, StoredRun

EPOCHS = 6
FIRST_CHECKPOINT = 2
OBSERVER = ComponentSpec(name="angles", parameters={"every": 1.0})
WEIGHTS = {"weights_sha256": "ab" * 32}
# What the store asks of the system; a process is killed before each, or half-way through a write.
CALLS = [
    *("open", "mkdir", "rename", "replace", "link", "unlink", "rmdir", "utime"),
    *("write", "pwrite", "fsync", "ftruncate", "stat", "listdir", "scandir"),
]


def train(run: StoredRun, *, until: int = EPOCHS, publish: bool = True) -> bool:
    """Continue *run* from its checkpoint; whether this published its result."""
    attempt = run.claim({"host": "here"})
    assert attempt is not None, "a run without a living worker could not be claimed"
    start = check_continuation(attempt)
    run.ask([OBSERVER])
    if start == 0:
        attempt.append_moments({"observers": [asdict(OBSERVER)]})
    for epoch in range(start, until):
        attempt.append({"epoch": epoch, "attempt": attempt.number})
        attempt.append_moments({"epoch": epoch})
        if epoch >= FIRST_CHECKPOINT and epoch % 2 == 0:
            attempt.save_checkpoint(lambda path, e=epoch: path.write_bytes(bytes([e])), epoch=epoch)
    if not publish:
        return False
    attempt.write_series(OBSERVER.name, b"all moments")
    attempt.publish_series(OBSERVER.name, {"observer": asdict(OBSERVER), **WEIGHTS})
    return attempt.publish({"outcome": "finished", "score": 1.0, **WEIGHTS})


def check_continuation(attempt: Attempt) -> int:
    """Check that checkpoint, points and moments go together; return the epoch to go on with."""
    epochs = [point["epoch"] for point in attempt.points]
    moments = [line.get("epoch", "observers") for line in attempt.moments]
    if attempt.checkpoint is None:
        assert not epochs + moments, f"points {epochs}, moments {moments} without a checkpoint"
        return 0
    (epoch,) = attempt.checkpoint.read_bytes()
    assert epochs == list(range(epoch + 1)), f"points {epochs} for the checkpoint of {epoch}"
    assert moments == ["observers", *epochs], f"moments {moments} for the checkpoint of {epoch}"
    return epoch + 1


def check_and_finish(store: RunStore, seed: int) -> str:
    """Check a store that a process died in, finish the run, and return the state it was left in."""
    fingerprint = _make_spec(seed).fingerprint
    assert all(run.spec.fingerprint == run.fingerprint for run in store.runs())
    run = store.get(fingerprint)
    if run is None:
        run = store.add(_make_spec(seed))
    left = run.state()
    assert left in {RunState.PENDING, RunState.INTERRUPTED, RunState.FINISHED}, left
    whole = run.path.joinpath("result.json").exists()
    assert whole == (left is RunState.FINISHED)
    epochs = [point["epoch"] for point in run.points()]
    assert epochs == list(range(len(epochs))), epochs
    if whole:
        assert run.claim({}) is None
    else:
        assert train(run)
    assert run.state() is RunState.FINISHED
    assert run.asked()
    assert not run.lacking()
    assert (run.path / "probes" / "angles.npz").read_bytes() == b"all moments"
    assert [point["epoch"] for point in run.points()] == list(range(EPOCHS))
    # Between publishing and deleting it, a worker may die; then the checkpoint stays, unused.
    assert whole or not list(run.path.rglob("checkpoint*"))
    return left.value


def in_child(work: Callable[[], None]) -> int:
    """Start *work* in a child process; return its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing may come back from the child
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def die_at(count: int) -> None:
    """Make this process kill itself at its *count*-th call of the system."""
    calls = itertools.count(1)

    def wrap(name: str) -> None:
        original = getattr(os, name)

        def call(*values: object, **options: object) -> object:
            if next(calls) == count:
                if name in {"write", "pwrite"}:
                    descriptor, data, *rest = values
                    original(descriptor, data[: len(data) // 2], *rest)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*values, **options)

        setattr(os, name, call)

    for name in CALLS:
        wrap(name)


def crash_points(store: RunStore, rounds: int) -> str:
    """Die at each call of adding, claiming, training and publishing, on first and second attempts.

    Every *rounds*-th call is tried.
    """
    points = 0
    left = set()
    for second in (False, True):
        for count in itertools.count(1, rounds):
            seed = next(seeds)
            if second:
                child = in_child(
                    lambda s=seed: train(store.add(_make_spec(s)), until=5, publish=False)
                )
                assert os.waitpid(child, 0)[1] == 0

            def work(seed: int = seed, count: int = count) -> None:
                die_at(count)
                train(store.add(_make_spec(seed)))

            _, status = os.waitpid(in_child(work), 0)
            left.add(check_and_finish(RunStore.open(store.root), seed))
            if status == 0:
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
            points += 1
    return f"{points} {' '.join(sorted(left))}"


def kills(store: RunStore, rounds: int) -> str:
    """Kill workers from outside at moments drawn at random, several times a run."""
    draw = random.Random(0)
    left = []
    for _ in range(rounds):
        seed = next(seeds)
        store.add(_make_spec(seed))
        for _ in range(3):
            kill_at_random(lambda s=seed: train(store.get(_make_spec(s).fingerprint)), draw)
        left.append(check_and_finish(RunStore.open(store.root), seed))
    return f"{len(left)} {' '.join(sorted(set(left)))}"


def kill_at_random(work: Callable[[], object], draw: random.Random) -> None:
    """Run *work* in a child and kill it soon after one of its steps, drawn at random."""
    reader, writer = os.pipe()

    def stepwise() -> None:
        os.close(reader)
        sys.setprofile(lambda *_: os.write(writer, b"."))
        with contextlib.suppress(AssertionError):  # an earlier one may have finished the run
            work()
        sys.setprofile(None)

    child = in_child(stepwise)
    os.close(writer)
    steps = draw.randrange(1, 8000)
    while steps > 0 and (read := os.read(reader, min(steps, 512))):
        steps -= len(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)


def publishers(store: RunStore, rounds: int) -> str:
    """Let a worker publish while another takes the run over and publishes as well."""
    winners = [0, 0, 0]
    for _ in range(rounds):
        run = store.add(_make_spec(next(seeds)))
        slow = run.claim({})
        silence(slow)

        def publish_slow(slow: Attempt = slow, run: StoredRun = run) -> int:
            dawdle(run)
            try:
                return slow.publish({"outcome": "finished", "score": 1.0})
            except LeaseLostError:
                return 0

        def publish_fast(run: StoredRun = run) -> int:
            fast = run.claim({})
            return 0 if fast is None else fast.publish({"outcome": "finished", "score": 0.5})

        verdicts = race(publish_slow, publish_fast)
        assert sum(verdicts) == 1, verdicts
        winner = verdicts.index(1) + 1
        assert run.result()["attempt"] == winner
        assert run.state() is RunState.FINISHED
        winners[winner] += 1
    return " ".join(map(str, winners[1:]))


def takeovers(store: RunStore, rounds: int) -> str:
    """Let a worker save checkpoints while another takes the run over."""
    continued = 0
    for _ in range(rounds):
        run = store.add(_make_spec(next(seeds)))
        slow = run.claim({})
        slow.append_moments({"observers": [asdict(OBSERVER)]})
        silence(slow)

        def save_until_lost(slow: Attempt = slow) -> int:
            try:
                for epoch in range(250):
                    slow.append({"epoch": epoch})
                    slow.append_moments({"epoch": epoch})
                    slow.save_checkpoint(lambda p, e=epoch: p.write_bytes(bytes([e])), epoch=epoch)
            except LeaseLostError:
                return 1
            return 0

        def take_over(run: StoredRun = run) -> int:
            dawdle(run)
            return check_continuation(run.claim({}))

        lost, start = race(save_until_lost, take_over)
        assert lost, "a worker whose run was taken over wrote on"
        assert [a.superseded for a in run.attempts()] == [True, False]
        continued += start > 0
    return f"{rounds} {continued}"


def race(*works: Callable[[], int]) -> list[int]:
    """Run each work in a child, all at once, and return what they return (below 256)."""
    reader, writer = os.pipe()
    children = []
    for work in works:

        def start(work: Callable[[], int] = work) -> None:
            os.close(writer)
            os.read(reader, 1)  # ends when the parent closes its end
            os._exit(work())

        children.append(in_child(start))
    os.close(reader)
    os.close(writer)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def dawdle(run: StoredRun) -> None:
    """Take a time that differs from run to run."""
    for _ in range(random.Random(run.fingerprint).randrange(150)):
        run.points()


def silence(attempt: Attempt) -> None:
    """Make the heartbeat look ages old."""
    os.utime(attempt.path / "heartbeat", (1, 1))


seeds = itertools.count()

if __name__ == "__main__":
    storm = {f.__name__: f for f in (crash_points, kills, publishers, takeovers)}[sys.argv[1]]
    # Killing a process loses nothing that the system has; syncing would only make this slow.
    os.fsync = lambda descriptor: None
    place = RunStore.open(Path(sys.argv[2]), create=True)
    sys.stdout.write(storm(place, int(sys.argv[3])) + "\n")
