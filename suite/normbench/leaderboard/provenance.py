"""What lies behind the numbers of a table: where they were trained, what they cost, their hash."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from normbench.errors import UsageError
from normbench.leaderboard.board import Costs, Entry, Provenance
from normbench.leaderboard.censored import TimeToTarget, time_to_target
from normbench.leaderboard.reading import Reader
from normbench.store import RunState

_VERSIONS = ("normbench", "torch", "cuda")


def look_up(entries: Sequence[Entry], reader: Reader) -> tuple[Provenance, list[Costs]]:
    """Return the provenance of all runs with values, and what each entry costs.

    Times are comparable on one kind of hardware only; on several, and for runs that shared their
    device, they are left out.
    """
    environments = reader.environments([run for entry in entries for run in _scored(entry)])
    provenance = provenance_of(environments.values())
    alone = len(provenance.hardware.keys() - {""}) <= 1
    return provenance, [_costs(entry, reader, times=alone) for entry in entries]


def provenance_of(environments: Iterable[Mapping[str, Any]]) -> Provenance:
    """Return what *environments*, one a run, say of hardware, versions and commits."""
    kinds = _Kinds(environments)
    return Provenance(
        known=True,
        hardware=kinds.counted(_device),
        versions=kinds.counted(_versions),
        commits=kinds.counted(_commit),
    )


class _Kinds:
    """Environments, of which very many are few."""

    def __init__(self, environments: Iterable[Mapping[str, Any]]) -> None:
        self._found = list(environments)
        self._one_each = {id(each): each for each in self._found}
        self._numbers = Counter(map(id, self._found))

    def counted(self, name: Callable[[Mapping[str, Any]], str]) -> dict[str, int]:
        """Return the number of runs by what *name* says, in the order in which they come."""
        counts: Counter[str] = Counter()
        for kind, number in self._numbers.items():
            counts[name(self._one_each[kind])] += number
        return dict(counts)


def refuse_mixed_hardware(title: str, metric: str, provenance: Provenance) -> None:
    """Refuse to rank by what hardware decides where runs were trained on several kinds of it.

    Raises:
        UsageError: If they were, or where they were trained is not known.
    """
    if provenance.known and len(provenance.hardware) == 1:
        return
    kinds = ", ".join(name or "unknown" for name in provenance.hardware) or "unknown hardware"
    raise UsageError(
        f"{title} cannot be ranked by {metric}: the runs were trained on {kinds}, expected one "
        "known kind. Rank runs of one machine: put them into a store of their own, or choose them "
        "with --since."
    )


def input_hash(entries: Iterable[Entry]) -> str:
    """Return 12 hexadecimal digits that depend on the rows, their values and their stages alone."""
    content = sorted(
        [entry.row.row, sorted(entry.values.items()), *_declared(entry)] for entry in entries
    )
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _declared(entry: Entry) -> list[object]:
    declared = entry.row.declared
    if declared is None:
        return []
    return [[declared.stages, declared.seeds, declared.late, declared.reference]]


def _scored(entry: Entry) -> list[str]:
    return [run.fingerprint for run in entry.row.runs.values() if run.score is not None]


def _costs(entry: Entry, reader: Reader, *, times: bool) -> Costs:
    results = reader.results(_scored(entry))
    seeds = {run.fingerprint: seed for seed, run in entry.row.runs.items()}
    alone = {seeds[name]: result for name, result in results.items() if not result.get("shared")}
    ended = [r["train_seconds"] for r in alone.values() if r["outcome"] == RunState.FINISHED]
    shown = ended if times and len(alone) == len(results) else []
    return Costs(
        seconds=median(shown) if shown else None,
        range=(min(shown), max(shown)) if shown else None,
        target=_target({seeds[name]: result for name, result in results.items()}, "epochs"),
        target_seconds=_target(alone, "seconds") if shown else None,
        engines=dict(Counter(sorted(str(r.get("engine") or "") for r in results.values()))),
    )


def target_times(results: Mapping[int, Mapping[str, Any]], unit: str) -> dict[int, float | None]:
    """Return the time to the target by seed, None where it was missed; empty without a target."""
    targets = {seed: result.get("time_to_target") or {} for seed, result in results.items()}
    return {
        seed: target[unit] if target["reached"] else None
        for seed, target in targets.items()
        if target.get("target") is not None
    }


def _target(results: Mapping[int, Mapping[str, Any]], unit: str) -> TimeToTarget | None:
    return time_to_target(target_times(results, unit))


def _device(environment: Mapping[str, Any]) -> str:
    return str(environment.get("hardware", {}).get("device", ""))


def _versions(environment: Mapping[str, Any]) -> str:
    versions = environment.get("versions", {})
    return ", ".join(f"{name} {versions[name]}" for name in _VERSIONS if name in versions)


def _commit(environment: Mapping[str, Any]) -> str:
    git = environment.get("git", {})
    return str(git.get("commit", ""))[:10] + (" (changed)" if git.get("dirty") else "")
