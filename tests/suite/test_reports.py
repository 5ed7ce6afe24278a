"""Rows say what their runs say: counts, means, spreads, and cells that read well."""

from __future__ import annotations

import pytest

from normbench.plugins import load_catalogue
from normbench.report import rows_of
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.tables import MORE_COLUMNS, duration, row_cells, rows_as_text, score

CATALOGUE = load_catalogue()


@pytest.fixture
def store(tmp_path) -> RunStore:
    """Return a store with two finished, one diverged, one failed and one pending run."""
    store = RunStore.open(tmp_path / "store", create=True)
    specs = resolve(Request(problem="digits_cnn_bn", optimizer="sgd", seeds=5), CATALOGUE)
    for spec, end in zip(specs, (0.9, 0.8, "diverged", "failed", None), strict=True):
        run = store.add(spec)
        if end is None:
            continue
        with run.claim({}) as attempt:
            if end == "failed":
                attempt.close(RunState.FAILED, "it broke", "Traceback: it broke")
            else:
                attempt.publish(_result(spec, end))
    return store


def _result(spec, end):
    diverged = end == "diverged"
    return {
        "schema": 1,
        "fingerprint": spec.fingerprint,
        "outcome": "diverged" if diverged else "finished",
        "score": 0.1 if diverged else end,
        "train_seconds": 2.0,
    }


def test_row_counts_outcomes_and_averages_scores(store):
    """A diverged run counts with its worst score, a failed or pending one not at all."""
    (row,) = rows_of(sorted(store.runs(), key=lambda run: run.spec.seed))

    assert {0: 0.9, 1: 0.8, 2: 0.1} == row.scores
    assert row.mean == pytest.approx(0.6)
    assert row.sd == pytest.approx(0.43588989)
    assert {"finished": 2, "diverged": 1, "failed": 1, "pending": 1} == {
        state.value: count for state, count in row.outcomes.items()
    }
    assert not row.complete
    assert row.messages[3].startswith("it broke (traceback: ")


def test_cells_stand_under_their_columns(store):
    """The table says norm, setting, score in percent and every outcome."""
    (row,) = rows_of(store.runs())
    cells = dict(zip(MORE_COLUMNS, row_cells(row), strict=True))

    assert "batch_norm" == cells["norm"]
    assert "60.00 %" == cells["mean"]
    assert "3" == cells["n"]
    assert "1 pending, 2 finished, 1 diverged, 1 failed" == cells["outcome"]
    assert "60.00 %" in rows_as_text([row])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, ""), (1.234, "1.2 s"), (75, "1 min 15 s"), (3 * 3600 + 125, "3 h 02 min")],
)
def test_duration_is_read_at_a_glance(seconds, expected):
    """Seconds, minutes or hours, as suits."""
    assert expected == duration(seconds)


def test_scores_of_losses_are_plain_numbers():
    """Only accuracies are percentages."""
    assert "98.22 %" == score(0.98217, "test_accuracy")
    assert "86.15" == score(86.1523, "test_loss")
    assert "" == score(None, "test_loss")
