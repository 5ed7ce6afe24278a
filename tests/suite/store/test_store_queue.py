"""The queue: what is taken, in which order, and what is left, however often anybody dies."""

from __future__ import annotations

import errno
import json
import os
import time
from types import SimpleNamespace

import pytest

from normbench.errors import StoreError
from normbench.store import RunState
from normbench.store import attempt as attempts
from normbench.store import company as companies
from normbench.store import queue as queues
from normbench.store.folders import list_attempts, merged_path
from normbench.store.queue import Queue
from normbench.store.strikes import (
    STRIKES,
    Deaths,
    close_for,
    count_deaths,
    count_strikes,
    note_death,
)


@pytest.fixture
def runs(store, make_spec):
    """Three pending runs."""
    return [store.add(make_spec(seed=seed)) for seed in range(3)]


@pytest.fixture
def die(silence):
    """Return what lets a worker die on a run, alone or not, perhaps after a checkpoint."""

    def die(run, epoch: int | None = None, *, alone: bool = True) -> None:
        attempt = run.claim({})
        if alone:
            attempt.note_pack(1, alone=True)
        if epoch is not None:
            attempt.save_checkpoint(lambda path: path.write_bytes(b"weights"), epoch=epoch)
        silence(attempt)

    return die


def names(runs) -> list[str]:
    """Return fingerprints."""
    return [run.fingerprint for run in runs]


def drain(queue: Queue, outcome: RunState = RunState.INTERRUPTED) -> list[str]:
    """Take all runs of a queue, close each with *outcome*, and return them in order."""
    taken = []
    while (found := queue.take({})) is not None:
        with found[1] as attempt:
            attempt.close(outcome)
        taken.append(found[0].fingerprint)
        assert len(taken) < 100
    return taken


def raise_full(*words, **more) -> None:
    """Write nothing, as on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def close(run, outcome: RunState) -> None:
    """End an attempt at a run."""
    with run.claim({}) as attempt:
        attempt.close(outcome)


def test_runs_come_in_the_order_given(store, runs):
    """The list decides, a run named twice comes once, and then there is nothing left."""
    given = [*reversed(names(runs)), runs[2].fingerprint]
    queue = Queue(store, given)

    assert 3 == queue.ready(10)
    assert given[:3] == drain(queue)
    assert queue.take({}) is None
    assert (0, 0) == (queue.ready(10), queue.held)


def test_queues_that_share_a_store_share_the_runs(store, runs):
    """What one queue has taken the other leaves, until it is let go of."""
    mine, other = Queue(store, names(runs)), Queue(store)
    first = mine.take({})
    second = other.take({})

    assert first[0].fingerprint != second[0].fingerprint
    assert 1 == len(drain(mine))
    assert (0, 1) == (mine.ready(9), mine.held)
    with first[1], second[1]:
        pass
    assert [second[0].fingerprint] == drain(mine)


def test_suspects_come_last(store, runs, die):
    """A run that a worker died on waits for all others, the more of them the longer."""
    die(runs[0])
    die(runs[0], alone=False)
    die(runs[1])

    assert names([runs[2], runs[1], runs[0]]) == drain(Queue(store, names(runs)))


def test_suspects_run_one_at_a_time_and_alone(store, runs, die, monkeypatch):
    """No run begins on the machine while a suspect trains, and no suspect while any run does."""
    monkeypatch.setattr(queues, "_JOIN_SECONDS", 0.0)
    for run in runs[:2]:
        die(run, alone=False)
    first, second = Queue(store, names(runs)), Queue(store, names(runs))
    healthy = first.take({})
    assert (0, True) == (second.ready(9), second.waits_here)
    assert second.take({}) is None
    with healthy[1] as attempt:
        attempt.close(RunState.FAILED)
    suspect = first.take({})
    third = Queue(store, names(runs[2:]), since=store.now() + 1)

    assert (runs[2].fingerprint, True) == (healthy[0].fingerprint, first.secluded)
    for waiting in (second, third):
        assert (0, None, True) == (waiting.ready(9), waiting.take({}), waiting.waits_here)
        assert waiting.held
    first.admit_others()
    assert (1, False) == (third.ready(9), first.secluded)
    with suspect[1] as attempt:
        attempt.close(RunState.FAILED)
    # Runs that had to wait have their turn before the next suspect.
    assert (None, names(runs[2:])) == (first.take({}), drain(third, RunState.FAILED))
    assert names(runs[1:2]) == drain(first, RunState.FAILED)


def test_a_driver_with_suspects_gets_the_machine_between_runs_of_others(
    store, runs, die, monkeypatch
):
    """Once the first of them has waited for some seconds no other run begins, till it has begun."""
    for run in runs[:2]:
        die(run, alone=False)
    others, mine, now = Queue(store, names(runs[2:])), Queue(store, names(runs[:2])), [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr(companies, "time", clock)
    healthy = others.take({})
    looks = [mine.ready(9) for now[0] in (0.0, 10.0, 20.0)]
    with healthy[1]:
        others.give_back(healthy[0])
    assert others.take({}) is None
    looks += [others.ready(9), mine.ready(9)]
    suspect = mine.take({})
    mine.admit_others()

    assert [0, 0, 0, 0, 1, 1] == [*looks, others.ready(9)]
    assert runs[0].fingerprint == suspect[0].fingerprint


def test_the_driver_counts_one_suspect_at_a_time(store, runs, die):
    """It starts one worker for several suspects, and none for them while it starts others."""
    for run in runs[:2]:
        die(run)

    assert 1 == Queue(store, names(runs[:2])).ready(9)
    assert 1 == Queue(store, names(runs)).ready(9)


def test_deaths_among_neighbours_are_no_strikes(store, runs, die):
    """However many there were, only those of a run that was alone set it aside."""
    for _ in range(STRIKES + 1):
        die(runs[0], alone=False)
    suspected = Queue(store, names(runs)).ready(9), runs[0].state()
    for _ in range(STRIKES):
        die(runs[0])
    queue = Queue(store, names(runs[:1]))

    assert (2, RunState.INTERRUPTED) == suspected
    assert (0, names(runs[:1])) == (queue.ready(9), queue.struck)


def test_run_that_can_never_be_alone_is_set_aside_as_well(store, runs, die):
    """Where nothing can be locked all deaths are beside others; it takes twice as many."""
    for _ in range(2 * STRIKES - 1):
        die(runs[0], alone=False)
    before = Queue(store, names(runs[:1])).ready(9)
    die(runs[0], alone=False)

    assert (1, 0) == (before, Queue(store, names(runs[:1])).ready(9))
    assert RunState.KILLED is runs[0].state()
    assert "6 times over while others could train" in runs[0].attempts()[-1].message


@pytest.mark.parametrize("most", [1, 256])
def test_runs_that_there_is_no_room_for_wait(store, runs, monkeypatch, most):
    """They are passed over, up to so many, and come in their order once there is room."""
    monkeypatch.setattr(queues, "_LOOK_AHEAD", most)
    queue, asked = Queue(store, names(runs)), []

    def only_the_last(run, alone) -> bool:
        asked.append((run.fingerprint, alone))
        return run.fingerprint == runs[2].fingerprint

    with runs[0].claim({}) as attempt:
        attempt.note_pack(1, crowded=True)
        attempt.close(RunState.INTERRUPTED)
    taken = queue.take({}, room=only_the_last)

    assert [(run.fingerprint, run is runs[0]) for run in runs][:most] == asked
    assert (most == 1) == (taken is None)
    assert 3 - (most > 1) == queue.ready(9)
    assert names(runs[: 2 + (most == 1)]) == drain(queue)


def test_a_damaged_run_does_not_stop_the_others(store, runs):
    """It is left out with a warning, as `status` leaves it out."""
    close(runs[0], RunState.FAILED)
    (runs[0].attempts()[-1].folder / "outcome.json").write_text("{")

    assert names(runs[1:]) == drain(Queue(store, names(runs)), RunState.FAILED)


def test_run_with_three_strikes_is_set_aside(store, runs, die):
    """It is closed as killed with how its workers died, and the others go on."""
    for words in ("ended with exit code 7", "", "ended with signal SIGSEGV"):
        die(runs[0])
        note_death(runs[0].attempts()[-1].folder, words)
    queue = Queue(store)

    assert set(names(runs[1:])) == set(drain(queue))
    assert [runs[0].fingerprint] == queue.struck
    assert RunState.KILLED is runs[0].state()
    assert "signal SIGSEGV, 3 times over" in runs[0].attempts()[-1].message


def test_newer_checkpoint_takes_strikes_back(store, run, die):
    """A run that gets on is not what kills workers; one that is interrupted or stands still is."""
    counts = []
    for epoch in (None, None, 1, None, 2, 2, None):
        die(run, epoch)
        counts.append(count_strikes(list_attempts(run.path), store.now()))
    for outcome in (RunState.INTERRUPTED, RunState.FAILED):
        close(run, outcome)
        counts.append(count_strikes(list_attempts(run.path), store.now()))

    assert [1, 2, 0, 1, 0, 1, 2, 2, 0] == counts
    die(run, alone=False)
    assert 1 == count_deaths(list_attempts(run.path), store.now()).beside
    die(run, 3, alone=False)
    assert Deaths() == count_deaths(list_attempts(run.path), store.now())


@pytest.mark.parametrize("end", ["died", "broken", "stopped"])
def test_run_whose_pack_died_or_broke_is_alone_next(store, runs, silence, end):
    """The pack's death is no strike of its runs; only after a stop they go on in a pack."""
    for run in runs[:2]:
        attempt = run.claim({})
        attempt.note_pack(2, broken=end == "broken")
        silence(attempt) if end == "died" else attempt.close(RunState.INTERRUPTED)
    queue = Queue(store, names(runs))
    first, _ = queue.take({})
    beside = [run for run, _ in queue.take_beside(lambda run: True, {}, most=2)]

    alone = end != "stopped"
    assert (runs[0].fingerprint, alone) == (first.fingerprint, queue.alone)
    assert names(runs[2:] if alone else runs[1:]) == names(beside)
    assert [0, 0] == [count_strikes(list_attempts(run.path), store.now()) for run in runs[:2]]
    assert ([runs[1].fingerprint] if alone else []) == drain(queue)


@pytest.mark.parametrize("outcome", [RunState.FAILED, RunState.KILLED, RunState.TIMED_OUT])
def test_bad_end_is_tried_again_by_the_next_launch_that_names_it(store, run, outcome):
    """Not by the launch it happened in, and not by one that takes whatever is pending."""
    since = store.now() - 10
    close(run, outcome)
    later = (run.attempts()[-1].folder / "outcome.json").stat().st_mtime + 1

    assert [] == drain(Queue(store, [run.fingerprint], since=since))
    assert [] == drain(Queue(store, [run.fingerprint], since=later - 1))
    assert [] == drain(Queue(store, None, since=later))
    assert [run.fingerprint] == drain(Queue(store, [run.fingerprint], since=later))


def test_asking_again_forgives_strikes(store, run, die):
    """A run that was set aside and is named anew has three lives again."""
    for _ in range(STRIKES):
        die(run)
    Queue(store).ready(1)
    queue = Queue(store, [run.fingerprint], since=store.now() + 1)

    assert 1 == queue.ready(1)
    assert 0 == count_strikes(list_attempts(run.path), store.now())


def test_run_of_a_worker_that_dies_later_is_taken_over(store, runs, remote):
    """What was held when the list was gone through is looked at again."""
    worker = remote(runs[0])
    queue = Queue(store, names(runs))

    assert names(runs[1:]) == drain(queue)
    assert 1 == queue.held
    worker.kill()
    assert [runs[0].fingerprint] == drain(queue)


def test_cancelled_runs_are_left_alone(store, runs):
    """Named or not, a run with the mark waits for its readmission."""
    runs[0].cancel()

    assert names(runs[1:]) == drain(Queue(store, names(runs)))
    runs[0].readmit()
    assert runs[0].fingerprint in drain(Queue(store))


def test_runs_added_meanwhile_are_found(store, runs, make_spec):
    """A queue over a whole store ends only when nothing new has come."""
    queue = Queue(store)
    first = drain(queue)
    added = store.add(make_spec(seed=9))

    assert sorted(names(runs)) == sorted(first)
    assert [added.fingerprint] == drain(queue)


@pytest.mark.parametrize("change", ["dead", "readmitted"])
def test_runs_that_could_not_be_taken_at_first_are_found(store, runs, silence, change):
    """At the end of its list a queue over a whole store takes what others held, or readmitted."""
    held = runs[0].claim({})
    if change == "readmitted":
        runs[0].cancel()
    queue = Queue(store)

    assert set(names(runs[1:])) == set(drain(queue))
    silence(held)
    runs[0].readmit()
    assert names(runs[:1]) == drain(queue)


def test_a_last_look_reads_only_what_was_not_seen(store, runs, make_spec, monkeypatch):
    """No index is read where nothing new is to be taken, whatever was done or damaged before."""
    done = store.add(make_spec(seed=7))
    with done.claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5})
    queue, looks = Queue(store), []
    monkeypatch.setattr(queues, "pending_in", lambda *given: looks.append(given) or [])
    damaged = store.add(make_spec(seed=8))
    close(damaged, RunState.FAILED)
    (damaged.attempts()[-1].folder / "outcome.json").write_text("{")

    assert 3 == len(drain(queue))
    assert [] == looks


def test_refused_runs_are_not_offered_again(store, runs):
    """What the caller does not accept is left for others."""
    queue = Queue(store, names(runs))

    assert queue.take({}, accept=lambda run: False) is None
    assert (3, []) == (queue.declined, drain(queue))
    assert 3 == Queue(store, names(runs)).ready(9)


def test_long_lists_leave_out_only_what_is_done(store, runs, monkeypatch):
    """What others hold stays on the list, since they may die; what has its result does not."""
    monkeypatch.setattr(queues, "_SHORT_LIST", 1)
    held = runs[0].claim({})
    with runs[1].claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5})
    queue = Queue(store, names(runs))

    assert names([runs[0], runs[2]]) == queues.pending_in(store, names(runs))
    assert (1, 1) == (queue.ready(9), queue.held)
    with held:
        pass
    assert names([runs[2], runs[0]]) == drain(queue)


def test_run_that_is_not_there_is_an_error(store):
    """A list with a run that the store lacks belongs to another store."""
    with pytest.raises(StoreError, match="is not in store"):
        Queue(store, ["0" * 32]).take({})


@pytest.mark.parametrize(
    ("skew", "held"), [(-30, True), (30, True), (-3600, False), (3600, False), (1e9, False)]
)
def test_leases_of_hosts_whose_clocks_differ(store, run, skew, held):
    """Only the file system's clock counts; a beat far ahead of it is as stale as one far behind."""
    attempt = run.claim({}, lease_seconds=60)
    lease = json.loads((attempt.path / "lease.json").read_text())
    lease |= {"host": "elsewhere", "boot": "another", "started": store.now() + skew}
    (attempt.path / "lease.json").write_text(json.dumps(lease))
    os.utime(attempt.path / "heartbeat", (0, store.now() + skew))
    queue = Queue(store, [run.fingerprint])

    assert (0 if held else 1, int(held)) == (queue.ready(1), queue.held)
    assert (0 if held else 1) == count_deaths(list_attempts(run.path), store.now()).beside


def test_decision_on_an_older_attempt_does_not_claim(store, run):
    """Between a look and a claim another worker may have tried and failed."""
    close(run, RunState.FAILED)

    assert run.claim({}, newest=0) is None
    assert 2 == run.claim({}, newest=1).number


def test_attempt_is_closed_in_the_name_of_its_dead_worker_once(store, run, die):
    """The outcome counts, no strike is added, and neither a second one nor a result is undone."""
    die(run)
    path = run.attempts()[-1].folder

    assert close_for(path, RunState.TIMED_OUT, "killed")
    assert not close_for(path, RunState.OUT_OF_MEMORY, "killed")
    assert not (path / "heartbeat").exists()
    assert (RunState.TIMED_OUT, "killed") == (run.state(), run.attempts()[-1].message)
    assert 0 == count_strikes(list_attempts(run.path), store.now())
    assert not close_for(path.with_name("0009"), RunState.KILLED, "never there")


def test_a_published_result_is_not_closed_over(store, run):
    """What its worker published counts, whatever its launcher meant to do with it."""
    with run.claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5})

    assert not close_for(attempt.path, RunState.TIMED_OUT, "killed")
    assert RunState.FINISHED == run.state()


def test_a_claim_that_another_was_faster_at_is_tried_again_later(store, run):
    """A run that was lost between look and claim counts as held until it is let go of."""
    queue, faster = Queue(store, [run.fingerprint]), []

    def claimed_meanwhile(_run) -> bool:
        faster.append(run.claim({}))
        return True

    assert queue.take({}, accept=claimed_meanwhile) is None
    assert 1 == queue.held
    with faster[0]:
        pass
    assert [run.fingerprint] == drain(queue)


def test_a_worker_that_let_go_on_a_full_disk_is_no_strike(store, run, silence, monkeypatch):
    """Who could not write an outcome, and let go, did not die; a heartbeat gone stale tells."""
    first = run.claim({})
    with monkeypatch.context() as full:
        full.setattr(attempts, "write_whole", raise_full)
        with pytest.raises(StoreError):
            first.close(RunState.INTERRUPTED)
    released = count_strikes(list_attempts(run.path), store.now())
    second = run.claim({})
    second.note_pack(1, alone=True)
    held = count_strikes(list_attempts(run.path), store.now())
    silence(second)

    assert [None, None] == [each.ended() for each in list_attempts(run.path)]
    assert (0, 0, 1) == (released, held, count_strikes(list_attempts(run.path), store.now()))


def test_a_lost_suspect_keeps_no_other_from_running(store, runs, die):
    """Who comes too late for a run that has killed workers takes the next such run instead."""
    for run in runs[:2]:
        die(run)
    faster = []

    def claimed_meanwhile(run) -> bool:
        if not faster:
            faster.append(run.claim({}))
        return True

    queue = Queue(store, names(runs[:2]))
    run, _ = queue.take({}, accept=claimed_meanwhile)

    assert {run.fingerprint, faster[0].fingerprint} == set(names(runs[:2]))


def test_looking_for_suspects_keeps_none_from_running(store, run, die):
    """A driver that counts what is left holds up no worker."""
    die(run)
    driver, worker = Queue(store, [run.fingerprint]), Queue(store, [run.fingerprint])

    assert 1 == driver.ready(1)
    assert worker.take({}) is not None


def test_run_that_was_tried_meanwhile_is_not_set_aside(store, run, die, monkeypatch):
    """Between the third strike and its consequence another worker may have tried it anew."""
    for _ in range(STRIKES):
        die(run)

    def tried_meanwhile(attempts, now) -> Deaths:
        deaths = count_deaths(attempts, now)
        close(run, RunState.TIMED_OUT)
        return deaths

    monkeypatch.setattr(queues, "count_deaths", tried_meanwhile)

    assert 0 == Queue(store, [run.fingerprint]).ready(1)
    assert RunState.TIMED_OUT is run.state()
    assert STRIKES + 1 == len(run.attempts())


def test_worker_that_wakes_after_it_was_taken_over_was_died_on(store, run, silence):
    """An attempt that was set aside is a strike, though its late worker may still stir."""
    late = run.claim({})
    late.note_pack(1, alone=True)
    silence(late)
    run.claim({})
    os.utime(run.attempts()[0].folder / "heartbeat")

    assert 1 == count_strikes(list_attempts(run.path), store.now())


def test_attempts_of_another_store_are_no_strikes(store, run, die):
    """What became of them there was counted there."""
    for _ in range(2):
        die(run)
    for each in list_attempts(run.path):
        each.path.rename(merged_path(run.path, each.number, "01234567"))

    assert 2 == len(list_attempts(run.path))
    assert 0 == count_strikes(list_attempts(run.path), store.now())


def test_run_that_ended_between_look_and_claim_is_not_taken(store, run):
    """A claim rests on the look before it: what another worker tried meanwhile stays so."""
    queue = Queue(store, [run.fingerprint])

    def tried_meanwhile(_run) -> bool:
        close(run, RunState.FAILED)
        return True

    assert queue.take({}, accept=tried_meanwhile) is None
    assert 1 == len(run.attempts())
