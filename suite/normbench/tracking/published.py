"""What was published, and the links to it. Values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from normbench.tracking import views
from normbench.tracking.board_files import MARKDOWN

Done = Literal["new", "completed", "unchanged"]
_WORDS = {
    "new": "published",
    "completed": "brought up to date",
    "unchanged": "was there already, nothing was written",
}


@dataclass(frozen=True, kw_only=True)
class PublishedBoard:
    """One leaderboard in MLflow.

    Attributes:
        title: What it is called.
        experiment: Experiment by name.
        experiment_id: Experiment by id.
        run_id: The run that holds its files.
        revision: Number of the revision, from 1 on.
        done: Whether the revision is new, lacked something, or was there and nothing was written.
        view: Key of the saved view that shows it, None where MLflow's pages know none.
    """

    title: str
    experiment: str
    experiment_id: str
    run_id: str
    revision: int
    done: Done
    view: str | None

    def links(self, base: str) -> dict[str, str]:
        """Return the links to its table, its charts and its report, at the server *base*."""
        where = self.experiment_id
        report = {"report": views.artifact_link(base, where, self.run_id, MARKDOWN)}
        if self.view is None:
            return report
        charts = views.link(base, where, self.view, charts=True)
        return {"table": views.link(base, where, self.view), "charts": charts, **report}


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published.

    Attributes:
        address: Address of MLflow's pages, empty where no server is known.
        boards: The leaderboards.
    """

    address: str
    boards: tuple[PublishedBoard, ...]

    def lines(self) -> Iterator[str]:
        """Yield lines for people: what was done, and how to see it."""
        for board in self.boards:
            done = f"revision {board.revision} {_WORDS[board.done]}"
            yield f"MLflow, experiment {board.experiment}: {board.title}, {done}."
            if self.address:
                for name, link in board.links(self.address).items():
                    yield f"  {name:6} {link}"
