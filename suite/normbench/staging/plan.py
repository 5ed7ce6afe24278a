"""What stages are to be trained: the declaration of a row, its runs, and those of its reference."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from normbench.errors import UsageError
from normbench.overrides import read_overrides
from normbench.planning import check_resumable, plan
from normbench.plugins import Catalogue
from normbench.resolve import Request
from normbench.specs import RunSpec
from normbench.staging.reference import Opponent, find_opponent, short_label
from normbench.staging.stages import chosen_stages
from normbench.store import Declaration, RunStore, declare, read_declaration


@dataclass(frozen=True, kw_only=True)
class Staging:
    """What a user asks of the stages.

    Attributes:
        request: The row, without seeds.
        stages: Numbers of seeds; None for every five.
        max_seeds: The last of them; None for the last stage.
    """

    request: Request
    stages: Sequence[int] | None = None
    max_seeds: int | None = None


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """The stages of one row.

    Attributes:
        spec: What trains the first seed of the row.
        opponent: What it is compared with.
        declaration: Its stages and seeds.
        declared: Whether that lies in the store already.
    """

    spec: RunSpec
    opponent: Opponent
    declaration: Declaration
    declared: bool

    @property
    def label(self) -> str:
        """Norm, optimizer and setting of the row."""
        return short_label(self.spec)

    def specs(self, stage: int) -> list[RunSpec]:
        """Return all runs that a look at so many seeds needs, those of the row first."""
        seeds = self.declaration.seeds[:stage]
        rows = (self.spec, self.opponent.spec)
        return [replace(spec, seed=seed) for spec in rows for seed in seeds]


def plan_stages(
    asked: Staging, store: RunStore | None, catalogue: Catalogue, data_dir: Path | None
) -> StagePlan:
    """Return what the stages need, checked; nothing is written.

    Raises:
        UsageError: If the request gives seeds, the row is the reference or has other stages
            declared, or something cannot be trained here.
    """
    stages = chosen_stages(asked.stages, asked.max_seeds)
    _refuse_seeds(asked.request)
    spec = plan(replace(asked.request, seeds=1), catalogue, data_dir)[0]
    there = read_declaration(store.root, spec.row) if store is not None else None
    bound = there.reference if there is not None else ""
    opponent = find_opponent(asked.request, spec, store, catalogue, bound)
    check_resumable([opponent.spec], catalogue, data_dir)
    if there is not None:
        _refuse_another(there, asked, stages, short_label(spec))
    return StagePlan(
        spec=spec,
        opponent=opponent,
        declaration=there or _new_declaration(spec, stages, store, opponent),
        declared=there is not None,
    )


def write_declarations(store: RunStore, planned: StagePlan) -> StagePlan:
    """Declare the stages of the row, and of its reference if that gets seeds by them.

    Raises:
        StoreError: If they cannot be written.
        UsageError: If another process declared other stages meanwhile.
    """
    ours = replace(planned.declaration, declared_at=time.time())
    stands = planned.declaration if planned.declared else declare(store.root, ours)
    theirs, wanted = (
        (each.stages, each.seeds, each.reference or planned.opponent.spec.row)
        for each in (stands, ours)
    )
    if theirs != wanted:
        raise UsageError(
            f"another process has declared stages of {planned.label} meanwhile: "
            f"{_listed(stands.stages)}. Give the command again, without --stages and --max-seeds."
        )
    if given := _given_to_reference(planned, ours.declared_at):
        declare(store.root, given)
    return replace(planned, declaration=stands, declared=True)


def _given_to_reference(planned: StagePlan, now: float) -> Declaration | None:
    """Return the stages of the reference: how many seeds it may have, wherever the row stops.

    It needs them where it is compared itself, such as in the table of a twin problem. None if the
    stages give it no seeds.
    """
    has, new = planned.opponent.seeds, planned.declaration.seeds
    numbers = {len({*has, *new[:stage]}) for stage in planned.declaration.stages}
    if numbers == {len(has)}:
        return None
    order = tuple(dict.fromkeys((*sorted(has), *new)))
    return Declaration(
        row=planned.opponent.spec.row,
        stages=tuple(sorted(numbers)),
        seeds=order,
        declared_at=now,
        reference_of=planned.spec.row,
    )


def _new_declaration(
    spec: RunSpec, stages: tuple[int, ...], store: RunStore | None, opponent: Opponent
) -> Declaration:
    before = _with_result(spec, store)
    seeds = islice(_unseen(spec.protocol.rules.first_seed, before), stages[-1])
    return Declaration(
        row=spec.row,
        stages=stages,
        seeds=tuple(seeds),
        before=tuple(sorted(before)),
        reference=opponent.spec.row,
    )


def _with_result(spec: RunSpec, store: RunStore | None) -> set[int]:
    """Return the seeds that the row has results of."""
    if store is None:
        return set()
    runs = store.index().runs.values()
    return {run.seed for run in runs if run.row == spec.row and run.done}


def _unseen(first: int, seen: Collection[int]) -> Iterator[int]:
    return (seed for seed in count(first) if seed not in seen)


def _refuse_seeds(request: Request) -> None:
    in_file = read_overrides(request.config, ()).options.get("seeds")
    if request.seeds is not None or in_file is not None:
        where = "--seeds" if request.seeds is not None else f"seeds in {request.config}"
        raise UsageError(
            f"--until-decided chooses the seeds itself, but {where} was given. Leave that out; say "
            "how many at most with --max-seeds, or at which numbers to look with --stages."
        )


def _refuse_another(
    there: Declaration, asked: Staging, stages: tuple[int, ...], label: str
) -> None:
    """Raise :class:`UsageError` unless what is *asked* goes on with the declared stages."""
    if there.late:
        raise UsageError(
            f"the stages of {label} were declared in another store while results of it were here "
            "already: its verdicts stay exploratory, whatever is trained. Use a store without them."
        )
    given = asked.stages is not None or asked.max_seeds is not None
    if given and stages != there.stages:
        day = time.strftime("%Y-%m-%d", time.gmtime(there.declared_at))
        raise UsageError(
            f"{label} was declared to be looked at after {_listed(there.stages)} seeds ({day}), "
            f"but now {_listed(stages)} are asked for. Stages that change after looking would make "
            "the verdict worth nothing. Leave --stages and --max-seeds out to go on as declared."
        )


def _listed(stages: Sequence[int]) -> str:
    return ", ".join(map(str, stages))
