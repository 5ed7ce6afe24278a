"""The Python API takes the words of the command line and returns the same rows."""

from __future__ import annotations

import pytest

import normbench
from normbench.api import resume
from normbench.store import RunState, RunStore


@pytest.mark.slow
def test_run_and_resume_from_python(tmp_path):
    """A run is trained once, reported as a table, and continued where it is unfinished."""
    options = {"norm": "group_norm", "protocol__epochs": 2, "store": tmp_path, "track": False}
    report = normbench.run("digits_cnn", "sgd", seeds=2, norm__num_groups=4, **options)
    again = normbench.run("digits_cnn", "sgd", seeds=2, norm__num_groups=4, **options)

    assert (2, 0) == (report.trained, again.trained)
    (row,) = report.rows
    assert [0, 1] == sorted(row.scores)
    assert row.mean == pytest.approx(sum(row.scores.values()) / 2)
    assert "group_norm [num_groups=4]" in str(report)
    assert "<td>group_norm [num_groups=4]</td>" in report._repr_html_()
    assert () == resume(tmp_path, track=False).rows


def test_resume_of_an_unknown_run_says_where_to_look(tmp_path):
    """A fingerprint that is not in the store is wrong usage."""
    RunStore.open(tmp_path, create=True)

    with pytest.raises(normbench.UsageError, match="normbench status"):
        resume(tmp_path, ["abcdef"])


def test_names_of_the_public_api_exist():
    """Everything in __all__ can be imported, lazily or not."""
    missing = [name for name in normbench.__all__ if not hasattr(normbench, name)]

    assert [] == missing
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = normbench.no_such_name


def test_states_are_written_as_words():
    """JSON and tables show states as lower-case words."""
    assert "out_of_memory" == RunState.OUT_OF_MEMORY.value
