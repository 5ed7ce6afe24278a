"""Leaderboard runs in MLflow: one for each revision of a leaderboard, the older ones kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from normbench.tracking import names
from normbench.tracking.backend import Backend
from normbench.tracking.experiments import MlflowRun, search
from normbench.tracking.publications import Publication

_ONLY = f"tags.`{names.KIND}` = '{names.KIND_LEADERBOARD}'"
_UNFINISHED = "RUNNING"


@dataclass(frozen=True)
class Revision:
    """One revision of a leaderboard.

    Attributes:
        run: Its run.
    """

    run: MlflowRun

    @property
    def board(self) -> str:
        """Key of the leaderboard."""
        return self.run.tags[names.PUBLISHED_BOARD]

    @property
    def number(self) -> int:
        """Number of the revision, from 1 on."""
        return int(self.run.tags[names.REVISION])

    @property
    def digest(self) -> str:
        """Digest of all that it shows."""
        return self.run.tags[names.DIGEST]

    @property
    def finished(self) -> bool:
        """Whether all of it was written."""
        return self.run.status == "FINISHED"

    @property
    def order(self) -> tuple[int, int, str]:
        """What revisions are ordered by, the same for everyone who looks."""
        return self.number, self.run.start, self.run.run_id


def revisions_in(backend: Backend, experiment_id: str) -> list[Revision]:
    """Return all revisions of all leaderboards of an experiment, the oldest first."""
    found = map(Revision, search(backend, experiment_id, _ONLY))
    return sorted(found, key=lambda revision: revision.order)


def open_revision(backend: Backend, experiment_id: str, given: Publication) -> Revision:
    """Return the newest revision if it shows what is *given*, however far it got, else a new one.

    Of two publishers that begin the same revision at once, both go on with the one that began
    first; of two that begin different ones, the later one's number is raised.
    """
    known = _of(backend, experiment_id, given.key)
    newest = known[-1] if known else None
    if newest is not None and newest.digest == given.digest:
        return newest
    for revision in known:
        if revision.run.status == _UNFINISHED:
            backend.client.set_terminated(revision.run.run_id, status="KILLED")
    number = newest.number + 1 if newest else 1
    before = [revision for revision in known if revision.finished]
    mine = _create(backend, experiment_id, given, number, before[-1] if before else None)
    rivals = [r for r in _of(backend, experiment_id, given.key) if r.number >= number]
    place = next(i for i, rival in enumerate(rivals) if rival.run.run_id == mine)
    same = next((rival for rival in rivals[:place] if rival.digest == given.digest), None)
    if same is not None:
        backend.client.delete_run(mine)
        return same
    if place:
        raised = str(number + place)
        backend.client.set_tag(mine, names.REVISION, raised)
        rivals[place].run.tags[names.REVISION] = raised
    return rivals[place]


def _of(backend: Backend, experiment_id: str, board: str) -> list[Revision]:
    return [r for r in revisions_in(backend, experiment_id) if r.board == board]


def _create(
    backend: Backend,
    experiment_id: str,
    given: Publication,
    number: int,
    before: Revision | None,
) -> str:
    tags = {
        **names.SOURCE,
        **given.tags,
        names.KIND: names.KIND_LEADERBOARD,
        names.PUBLISHED_BOARD: given.key,
        names.REVISION: str(number),
        names.DIGEST: given.digest,
        names.CONCLUSION: given.sentence,
        names.TITLE: given.title,
        names.SUFFIX: given.suffix,
    }
    if before is not None:
        tags[names.SUPERSEDES] = before.run.run_id
    run = backend.client.create_run(
        experiment_id,
        start_time=int(time.time() * 1000),
        tags=tags,
        run_name=f"leaderboard {given.title}, revision {number}",
    )
    return str(run.info.run_id)
