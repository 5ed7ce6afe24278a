"""Where in MLflow each leaderboard goes, and in which order it is written.

A revision is finished when all else is written, so that an interrupted one is found and completed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from normbench.leaderboard.board import Board
from normbench.leaderboard.formats import Section
from normbench.leaderboard.overall import Overall
from normbench.tracking import names, views
from normbench.tracking.backend import Backend
from normbench.tracking.board_files import FOLDER, write_files
from normbench.tracking.board_lines import Runs, line_runs, row_runs, write_lines
from normbench.tracking.board_notes import describe, tell
from normbench.tracking.board_publication import publication_of
from normbench.tracking.experiments import Experiment, named_experiment
from normbench.tracking.overall_publication import overall_publication
from normbench.tracking.publications import Publication
from normbench.tracking.published import Done, PublishedBoard
from normbench.tracking.revisions import Revision, open_revision
from normbench.tracking.writer import tag_experiment

OVERVIEW = f"{names.PREFIX}overview"
Links = Mapping[str, str]


@dataclass(frozen=True)
class Publisher:
    """Puts leaderboards into one MLflow.

    Attributes:
        backend: Where it is.
        suite: The suite that they are of, if any.
        problems: What kept runs from being copied; None while another process copies them.
        wait: Seconds to wait for that one.
    """

    backend: Backend
    suite: str
    problems: tuple[str, ...] | None
    wait: float

    def publish(
        self, boards: Sequence[Board], sections: Sequence[Section]
    ) -> Iterator[PublishedBoard]:
        """Publish each board, then what is said of all problems together."""
        links: dict[str, str] = {}
        for board in boards:
            given = publication_of(board, _about(board, sections), alone=not self.suite)
            name = names.experiment_of(board.problem, board.entries[0].row.protocol)
            home = named_experiment(self.backend, name)
            held = row_runs(home, given.lines, problems=self.problems, wait=self.wait)
            own = {
                row: views.run_link("", home.experiment_id, run.run_id) for row, run in held.items()
            }
            links |= own
            if self.suite:
                yield self._publish_apart(given, own)
            else:
                yield self._publish(home, given, held, own)
        for section in sections:
            if isinstance(section.about, Overall):
                yield self._publish_apart(overall_publication(section.about, sections), links)

    def _publish_apart(self, given: Publication, links: Links) -> PublishedBoard:
        """Publish what is not of one problem alone: each line gets a run that leads to its row."""
        name = f"{names.PREFIX}suite/{self.suite}" if self.suite else OVERVIEW
        experiment = named_experiment(self.backend, name)
        tag_experiment(experiment, names.OF_EXPERIMENT)
        notes = {row: f"[The row and its seeds]({link})" for row, link in links.items()}
        held = line_runs(experiment, given, notes)
        return self._publish(experiment, given, held, links, seeds=False)

    def _publish(
        self,
        experiment: Experiment,
        given: Publication,
        held: Runs,
        links: Links,
        *,
        seeds: bool = True,
    ) -> PublishedBoard:
        revision = open_revision(self.backend, experiment.experiment_id, given)
        if not revision.finished:
            self._upload(revision, given, links)
            describe(experiment, revision)
        changed = write_lines(self.backend, revision, given.lines, held)
        changed |= tell(experiment, given, revision, seeds=seeds)
        done: Done = "completed" if changed else "unchanged"
        if not revision.finished:
            self.backend.client.set_terminated(revision.run.run_id, status="FINISHED")
            done = "new"
        return PublishedBoard(
            title=given.title,
            experiment=experiment.name,
            experiment_id=experiment.experiment_id,
            run_id=revision.run.run_id,
            revision=revision.number,
            done=done,
            view=views.leaderboard_key(given.key) if self.backend.named_views else None,
        )

    def _upload(self, revision: Revision, given: Publication, links: Links) -> None:
        with tempfile.TemporaryDirectory(prefix="normbench-") as folder:
            write_files(Path(folder), given.title, given.sections, links)
            self.backend.client.log_artifacts(revision.run.run_id, folder, FOLDER)


def _about(board: Board, sections: Sequence[Section]) -> list[Section]:
    """Return the section of a board and those that follow it up to the next one."""
    starts = [at for at, section in enumerate(sections) if section.about is not None]
    start = next(at for at in starts if sections[at].about is board)
    end = next((at for at in starts if at > start), len(sections))
    return list(sections[start:end])
