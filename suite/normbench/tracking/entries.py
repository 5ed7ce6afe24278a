"""What a leaderboard needs of each run, carried by the tags of its row in MLflow.

A row holds one entry for each of its seeds, those that nobody began among them, with the result as
the run store has it: metrics in MLflow are rounded to be read, and all seeds of a row in one run
are found ten times as fast as in runs of their own. Seeds share the texts of their spec and of the
environment that they were trained in; both are named by their digests.

Several stores may feed one row. Each entry stands by itself, so none of them needs to know of the
others: a result outlasts an entry without one, and a later result an earlier one. Only where the
run itself was compared with what MLflow holds of it, the store's entry stands whatever is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from normbench.errors import StoreError
from normbench.store import Declaration, IndexedRun, RunState, StoredRun
from normbench.store.declarations import SCHEMA as DECLARATION_SCHEMA
from normbench.tracking.long_tags import gathered, spread

ENTRY_SCHEMA = 1
# The pages leave out tags that begin like this.
_PREFIX = "mlflow.normbench."
_STAGES = f"{_PREFIX}stages"
_SEED = re.compile(re.escape(_PREFIX) + r"seed\.(\d+)")


class NewerEntryError(StoreError):
    """A newer normbench wrote an entry."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What MLflow carries about one run of a row.

    Attributes:
        seed: Its seed.
        fingerprint: The run.
        state: How it stands.
        attempt: Number of its newest attempt, 0 for none.
        score: Of a run with a result.
        seconds: Training seconds of a run with a result.
        result: The result as the run store has it; None if there is none.
        spec: Digest of the spec without its seed.
        environment: Digest of where it was trained; empty if that is not known.
        declared: Whether its store knew of stages declared for the row.
        damaged: Whether it may have had a result, which could not be read.
    """

    seed: int
    fingerprint: str
    state: RunState
    attempt: int
    score: float | None
    seconds: float | None
    result: Mapping[str, Any] | None
    spec: str
    environment: str
    declared: bool
    damaged: bool = False

    def text(self) -> str:
        """Return the entry as JSON."""
        content = {**vars(self), "schema": ENTRY_SCHEMA, "state": self.state.value}
        if not self.damaged:
            # Older versions do not know of it.
            del content["damaged"]
        return _json(content)

    @classmethod
    def read(cls, text: str) -> Entry:
        """Read what :meth:`text` returned.

        Raises:
            NewerEntryError: If a newer normbench wrote it.
            ValueError: If it is damaged.
        """
        try:
            content = json.loads(text)
            _check_schema(content.pop("schema"), ENTRY_SCHEMA)
            return cls(**{**content, "state": RunState(content["state"])})._believed()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"an entry is damaged ({type(error).__name__}: {error})") from error

    def outlasts(self, other: Entry) -> bool:
        """Whether this stands where *other*, of the same run, tells something else."""
        return self._age > other._age

    def _believed(self) -> Entry:
        """Return the entry without a result that is another run's, copied by an older version."""
        if (self.result or {}).get("fingerprint", self.fingerprint) == self.fingerprint:
            return self
        return replace(self, score=None, seconds=None, result=None, damaged=True)

    @property
    def _age(self) -> tuple[bool, float, int]:
        finished = (self.result or {}).get("finished_at", 0.0)
        return self.result is not None, finished, self.attempt


@dataclass(frozen=True)
class Known:
    """A run of the store, as its index knows it.

    Attributes:
        run: What the index says.
        spec: The spec without its seed, as JSON.
        stored: The run.
        environment: Where it was trained, as JSON; empty if that is not known.
        declared: Whether stages are declared for its row.
        damaged: Whether the run cannot be read.
    """

    run: IndexedRun
    spec: str
    stored: StoredRun
    environment: str
    declared: bool
    damaged: bool


def entry_tags(
    runs: Iterable[Known], held: Mapping[str, str], ours: Collection[str]
) -> dict[str, str]:
    """Return the tags by which a row that carries *held* tells of *runs*, too.

    Args:
        runs: The runs.
        held: Tags of the row.
        ours: Fingerprints of those that MLflow holds as the store does.

    Raises:
        StoreError: If a run cannot be read, or a newer normbench wrote what is held.
    """
    tags: dict[str, str] = {}
    for known in runs:
        entry, texts = _entry_of(known)
        theirs = _held(held, entry.seed)
        if entry.fingerprint in ours or theirs is None or not theirs.outlasts(entry):
            for kind, text in (texts | {f"seed.{entry.seed}": entry.text()}).items():
                tags |= spread(_PREFIX + kind, text)
    return tags


def declaration_tags(declared: Declaration | None, held: Mapping[str, str]) -> dict[str, str]:
    """Return the tag of the stages declared for a row; of two declarations the earlier stands.

    Raises:
        StoreError: If a newer normbench wrote what is held.
    """
    try:
        theirs = declaration_in(held)
    except ValueError:
        theirs = None
    if declared is None or (theirs is not None and _stands(theirs, declared)):
        return {}
    return spread(_STAGES, _json(declared.to_dict()))


def declaration_in(tags: Mapping[str, str]) -> Declaration | None:
    """Return the stages declared for a row, if any were.

    Raises:
        NewerEntryError: If a newer normbench wrote them.
        ValueError: If they are damaged.
    """
    text = gathered(tags, _STAGES)
    if not text:
        return None
    try:
        content = json.loads(text)
        _check_schema(content["schema"], DECLARATION_SCHEMA)
        return Declaration.from_dict(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"declared stages are damaged ({error})") from error


def _stands(theirs: Declaration, ours: Declaration) -> bool:
    """Whether *theirs* is earlier, or as early and not less reserved, with what was decided."""
    return standing(theirs) <= standing(ours)


def standing(declared: Declaration) -> tuple[float, bool, bool]:
    """Return what orders declarations of one row: the smallest stands."""
    return declared.declared_at, not declared.late, declared.decision is None


def entries_in(tags: Mapping[str, str]) -> Iterator[Entry]:
    """Yield the entries among the *tags* of a row.

    Raises:
        NewerEntryError: If a newer normbench wrote one.
        ValueError: If one is damaged.
    """
    for name in tags:
        if _SEED.fullmatch(name):
            yield Entry.read(gathered(tags, name))


def shared_text(tags: Mapping[str, str], kind: str, digest: str) -> str:
    """Return the text of a ``spec`` or an ``environment`` with this *digest*.

    Raises:
        ValueError: If it is missing or damaged.
    """
    text = gathered(tags, f"{_PREFIX}{kind}.{digest}")
    if not text:
        raise ValueError(f"{kind} {digest} is missing")
    return text


def _entry_of(known: Known) -> tuple[Entry, dict[str, str]]:
    """Return the entry of a run, and the texts that it names by their kinds and digests."""
    run = known.run
    texts = {"spec": known.spec, "environment": known.environment}
    digests = {kind: _digest(text) if text else "" for kind, text in texts.items()}
    entry = Entry(
        seed=run.seed,
        fingerprint=run.fingerprint,
        state=run.state,
        attempt=run.attempts,
        score=run.score,
        seconds=run.seconds,
        result=known.stored.result() if run.done else None,
        declared=known.declared,
        damaged=known.damaged,
        **digests,
    )
    return entry, {f"{kind}.{digests[kind]}": text for kind, text in texts.items() if text}


def _held(held: Mapping[str, str], seed: int) -> Entry | None:
    """Return the entry that MLflow holds; None if it has to be written anew."""
    try:
        text = gathered(held, f"{_PREFIX}seed.{seed}")
        return Entry.read(text) if text else None
    except ValueError:
        return None


def _check_schema(schema: int, known: int) -> None:
    if schema > known:
        raise NewerEntryError(
            f"a newer normbench copied runs to this MLflow (schema {schema}, this one reads up to "
            f"{known}). Upgrade normbench."
        )


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:12]
