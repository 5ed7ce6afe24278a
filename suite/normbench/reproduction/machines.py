"""With what and when the runs of a report were trained, and digests of what it is made of."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from normbench.leaderboard.board import Board
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.sheets import Sheet
from normbench.reproduction.document import Chapter, chapter
from normbench.tables import duration

_MOST = 6
Content = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What is known of how the results of a report came about.

    Attributes:
        rows: The rows with results.
        results: The results of their runs.
        environments: Where they were trained, as far as it is known.
    """

    rows: Sequence[ReadRow] = ()
    results: Sequence[Content] = ()
    environments: Sequence[Content] = ()

    @property
    def scored(self) -> int:
        """Number of runs with a result."""
        return sum(len(row.scores) for row in self.rows)

    @property
    def commits(self) -> Counter[str]:
        """Number of runs by commit of normbench; empty text where it is not known."""
        return Counter(_commit(each) for each in self.environments)


def read_trained(rows: Sequence[ReadRow], reader: Reader) -> Trained:
    """Read how the results of *rows* came about."""
    scored = [run.fingerprint for row in rows for run in row.runs.values() if run.score is not None]
    results, environments = reader.results(scored), reader.environments(scored)
    return Trained(
        rows=rows, results=list(results.values()), environments=list(environments.values())
    )


def machines_chapter(trained: Trained, boards: Sequence[Board]) -> Chapter:
    """Return the chapter on environment, dates, training time and digests."""
    facts = {
        "results": str(trained.scored),
        **_of_environments(trained.environments),
        **_of_results(trained.results),
        **_of_rules(trained.rows),
        "digest of all runs and scores": digest_of(trained.rows),
    }
    shown = tuple((name, value) for name, value in facts.items() if value)
    digests = tuple((board.title, board.digest) for board in boards)
    sheets = [
        Sheet(("what", "value"), shown),
        Sheet(("table", "digest"), digests, (), "Digest of the rows and values of each table"),
    ]
    unknown = trained.scored - len(trained.environments)
    text = f"Where {unknown} of {trained.scored} runs were trained is not known."
    return chapter("Environment", sheets, {"Not known": [text] if unknown else []})


def digest_of(rows: Sequence[ReadRow]) -> str:
    """Return 16 hexadecimal digits that depend on the runs and their scores alone."""
    content = sorted(
        (run.fingerprint, run.score)
        for row in rows
        for run in row.runs.values()
        if run.score is not None
    )
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_environments(environments: Sequence[Content]) -> dict[str, str]:
    versions = dict.fromkeys(name for each in environments for name in each.get("versions", {}))
    return {
        **{name: _hardware(environments, name) for name in ("device", "processor", "cores")},
        "threads of a run": _counted(str(e.get("threads") or "") for e in environments),
        "platform": _counted(str(e.get("platform") or "") for e in environments),
        **{
            name: _counted(str(e.get("versions", {}).get(name, "")) for e in environments)
            for name in versions
        },
        "normbench's commit": _counted(_commit(each) for each in environments),
        "plugins beside the built-in": _plugins(environments),
    }


def _hardware(environments: Sequence[Content], name: str) -> str:
    return _counted(str(each.get("hardware", {}).get(name) or "") for each in environments)


def _commit(environment: Content) -> str:
    git = environment.get("git", {})
    changed = " with local changes" if git.get("dirty") else ""
    return f"{git['commit'][:12]}{changed}" if git.get("commit") else ""


def _plugins(environments: Sequence[Content]) -> str:
    names = {name for each in environments for name in each.get("plugins", ())}
    return ", ".join(sorted(n for n in names if not n.endswith(("(built-in)", "(bridge)"))))


def _of_results(results: Sequence[Content]) -> dict[str, str]:
    ended = [each["finished_at"] for each in results if each.get("finished_at")]
    training = sum(each.get("train_seconds") or 0.0 for each in results)
    evaluation = sum(each.get("evaluation_seconds") or 0.0 for each in results)
    shared = sum(bool(each.get("shared")) for each in results)
    return {
        "engine": _counted(str(each.get("engine") or "") for each in results),
        "first result": _date(min(ended)) if ended else "",
        "last result": _date(max(ended)) if ended else "",
        "training time": f"{duration(training)}, summed over the runs" if training else "",
        "evaluation time": f"{duration(evaluation)}, summed over the runs" if evaluation else "",
        "energy of GPUs": _energy(results),
        "on a shared device": f"{shared} runs" if shared else "",
    }


def _energy(results: Sequence[Content]) -> str:
    """Say what the runs used that had a GPU to themselves."""
    alone = [each for each in results if not each.get("shared")]
    known = [joules for each in alone if (joules := each.get("energy_joules")) is not None]
    if not known:
        return ""
    runs = f"{len(known)} of {len(results)} runs"
    words = "those that were alone on their GPU and whose energy is known"
    return f"{sum(known) / 1000:.1f} kJ, summed over {runs}, {words}"


def _of_rules(rows: Sequence[ReadRow]) -> dict[str, str]:
    def rule(name: str) -> Iterator[str]:
        return (str(row.rules.get(name, "")).lower() for row in rows)

    return {name: _counted(rule(name), unit="rows") for name in ("precision", "deterministic")}


def _counted(values: Iterable[str], *, unit: str = "runs") -> str:
    """Return the one value that all have, else each with how many have it."""
    counts = Counter(value or "not recorded" for value in values)
    if set(counts) <= {"not recorded"}:
        return ""
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{value} ({count} {unit})" for value, count in counts.most_common(_MOST)]
    more = len(counts) - _MOST
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
