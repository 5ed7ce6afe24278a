"""Processes that race and are killed for real; afterwards the store opens and every run goes on.

The scripts check the store after each round; see storms.py. What they print shows that the rounds
were not all alike.
"""

from __future__ import annotations


def test_a_crash_between_any_two_system_calls_leaves_a_store_that_goes_on(script, tmp_path):
    """Killed at every single call of adding, claiming, resuming and publishing, nothing is lost."""
    points, *states = script("storms.py", "crash_points", tmp_path / "store", 1).split()

    assert int(points) > 150
    assert ["finished", "interrupted", "pending"] == states


def test_workers_killed_at_random_lose_nothing(script, tmp_path):
    """Killed three times a run at any moment, a run still ends with the whole curve, once."""
    rounds, *states = script("storms.py", "kills", tmp_path / "store", 30).split()

    assert int(rounds) == 30
    assert {"finished", "interrupted"} <= set(states)


def test_of_a_slow_worker_and_its_successor_exactly_one_publishes(script, tmp_path):
    """A takeover racing with a publication ends with one result, by whoever was told so."""
    slow, fast = map(int, script("storms.py", "publishers", tmp_path / "store", 100).split())

    assert slow + fast == 100
    assert min(slow, fast) > 0


def test_a_takeover_during_checkpoints_finds_a_whole_one(script, tmp_path):
    """Checkpoint and curve of the new attempt belong together however busy the old one was."""
    rounds, continued = map(int, script("storms.py", "takeovers", tmp_path / "store", 40).split())

    assert rounds == 40
    assert continued > 0
