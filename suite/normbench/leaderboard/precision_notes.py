"""What a reader must know of rows in bfloat16: whether the problem was tested in it."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.comparable import comparable
from normbench.leaderboard.board import Provenance
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.store import Verification, precision_in
from normbench.store.verifications import TESTED


def about_precision(
    rows: Sequence[ReadRow], reader: Reader, provenance: Provenance | None = None
) -> tuple[list[str], list[str]]:
    """Return sentences about the precision of the comparable *rows*.

    Args:
        rows: The rows.
        reader: Knows what was tested.
        provenance: Where they were trained; None to leave that out.

    Returns:
        What a reader must know before the numbers, and what stands below them.
    """
    table = rows[0].table or comparable(rows[0].identity)
    if precision_in(table) != TESTED:
        return [], []
    tests = reader.verifications()
    found = [test for test in tests or () if test.table == table]
    passed = [test for test in found if test.passed]
    if not passed:
        return [f"Not verified: {_why(rows[0], found, reader.option, known=tests is not None)}"], []
    return [], [_told(passed[-1]), *_elsewhere(passed, provenance or Provenance())]


def _why(row: ReadRow, found: Sequence[Verification], option: str, *, known: bool) -> str:
    command = " ".join(
        [f"normbench verify precision {row.problem} --norm {row.norm}", *_others(row.deviations)]
        + ([] if row.protocol == "standard" else ["--protocol", row.protocol])
    )
    said = (
        "these rows were computed in bfloat16, and no full test has shown that this gives the "
        "results of float32 on this problem under these rules and versions"
    )
    if not known:
        return f"{said}, as far as is known here: tests are in the run store, not in MLflow."
    words = sorted({f"{t.verdict}{', small' if t.small else ''}" for t in found})
    tested = f" (tested so far: {'; '.join(words)})" if words else ""
    return f"{said}{tested}. Test it: {command}{option}"


def _told(test: Verification) -> str:
    return (
        f"Computed in bfloat16, which a full test found equivalent to {test.against} here, with "
        f"{test.norm} and {', '.join(test.optimizers)}: {test.id}."
    )


def _elsewhere(passed: Sequence[Verification], provenance: Provenance) -> list[str]:
    """Return what the tests were not made on, though rows were trained on it."""
    sentences = []
    for what, own, of_tests in (
        ("hardware", provenance.hardware, [test.hardware for test in passed]),
        ("versions", provenance.versions, [test.versions for test in passed]),
    ):
        tested = {name for each in of_tests for name in each}
        if strange := sorted(name for name in own if name not in tested):
            sentences.append(
                f"That test was made with other {what} than these rows: "
                f"{'; '.join(sorted(tested))}, not {'; '.join(strange)}."
            )
    return sentences


def _others(deviations: Sequence[str]) -> list[str]:
    return [word for word in deviations if not word.startswith("protocol.precision=")]
