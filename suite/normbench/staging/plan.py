"""What stages are to be trained: the declaration of a row, its runs, and those of its reference."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from normbench.errors import UsageError
from normbench.leaderboard.against import LEAST_FOR_VERDICT
from normbench.leaderboard.notes import seed_list
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
        _refuse_given(there, short_label(spec))
        _refuse_another(there, asked, stages, short_label(spec))
    if store is not None:
        theirs = read_declaration(store.root, opponent.spec.row)
        counting = theirs.seeds if theirs is not None and theirs.own else None
        opponent = replace(opponent, counting=counting)
    return StagePlan(
        spec=spec,
        opponent=opponent,
        declaration=there or _new_declaration(spec, asked, store, opponent),
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

    They say where its seeds come from: it can have no stages of its own any more. None if the
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
    spec: RunSpec, asked: Staging, store: RunStore | None, opponent: Opponent
) -> Declaration:
    """Return stages of seeds that count for both: new ones of the row, in the reference's order."""
    before = _with_result(spec, store)
    stages = chosen_stages(asked.stages, asked.max_seeds)
    unseen = _unseen(count(spec.protocol.rules.first_seed), before)
    if opponent.counting is not None:
        left = list(_unseen(opponent.counting, before))
        stages = _within(stages, len(left), asked, opponent, short_label(spec))
        unseen = iter(left)
    seeds = islice(unseen, stages[-1])
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


def _unseen(seeds: Iterable[int], seen: Collection[int]) -> Iterator[int]:
    return (seed for seed in seeds if seed not in seen)


def _within(
    stages: tuple[int, ...], left: int, asked: Staging, opponent: Opponent, label: str
) -> tuple[int, ...]:
    """Return the *stages*, those by default up to the seeds that are *left*.

    Raises:
        UsageError: If the stages asked for, or a first one, take more.
    """
    if stages[-1] <= left:
        return stages
    if asked.stages is None and asked.max_seeds is None and left >= LEAST_FOR_VERDICT:
        return chosen_stages(None, left)
    advice = "Use another store."
    if left >= LEAST_FOR_VERDICT:
        advice = f"Give --max-seeds {left} alone, or use another store."
    raise UsageError(
        f"{label} is compared with {opponent.label}, whose own stages were declared before: only "
        f"its seeds {seed_list(opponent.counting or ())} count, and {left} of them have no result "
        f"of {label} yet. The stages {_listed(stages)} take {stages[-1]}. {advice}"
    )


def _refuse_given(there: Declaration, label: str) -> None:
    """Raise :class:`UsageError` if the row was given its seeds as the reference of another one."""
    if not there.own:
        raise UsageError(
            f"{label} got seeds as the reference of another row that was added to until decided "
            f"(row {there.reference_of[:8]}). Its results may have been looked at, so it can have "
            "no stages of its own in this store any more. Train a fixed number with --seeds N, or "
            "use another store."
        )


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
