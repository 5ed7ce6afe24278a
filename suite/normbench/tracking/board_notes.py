"""What an experiment says of its leaderboards: its saved views, its note, and which came last."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from normbench.leaderboard.formats import markdown_text
from normbench.tracking import names, views
from normbench.tracking.board_files import MARKDOWN
from normbench.tracking.experiments import Experiment
from normbench.tracking.publications import Publication
from normbench.tracking.revisions import Revision, revisions_in
from normbench.tracking.writer import tag_experiment

_log = logging.getLogger("normbench.tracking")


def describe(experiment: Experiment, revision: Revision) -> None:
    """Say on the leaderboard's own run what it comes to, and where to see it."""
    tags = revision.run.tags
    text = f"{markdown_text(tags[names.CONCLUSION])}\n\n{_links(experiment, revision)}"
    if tags.get(names.NOTE) != text:
        experiment.backend.client.set_tag(revision.run.run_id, names.NOTE, text)


def tell(experiment: Experiment, given: Publication, revision: Revision, *, seeds: bool) -> bool:
    """Bring views and note up to date; return whether anything was written.

    Args:
        experiment: Where the leaderboard is.
        given: The leaderboard.
        revision: The revision that shows it.
        seeds: Whether the experiment holds seeds.
    """
    tags: dict[str, str] = {}
    if experiment.backend.named_views:
        tags |= views.kept_views(experiment.tags, given.saved_views())
    if not revision.finished:
        tags[names.PUBLISHED] = str(revision.run.start)
        tags[names.PUBLISHED_VIEW] = views.leaderboard_key(given.key)
    present = experiment.tags.get(views.NOTE, "")
    note = views.merged(present, _own_part(experiment, revision, seeds), experiment.experiment_id)
    if len(note) <= views.LONGEST_NOTE:
        tags[views.NOTE] = note
    else:
        _log.warning("the experiment's note is too long for links to the leaderboard; shorten it")
    changed = any(experiment.tags.get(name) != value for name, value in tags.items())
    tag_experiment(experiment, tags)
    return changed


def _own_part(experiment: Experiment, revision: Revision, seeds: bool) -> str:
    lines = [_line(experiment, each) for each in _standing(experiment, revision)]
    return views.with_boards(experiment.experiment_id, lines, seeds=seeds)


def _standing(experiment: Experiment, current: Revision) -> Sequence[Revision]:
    """Return the newest revision of each leaderboard, what was published last first."""
    newest: dict[str, Revision] = {}
    for revision in revisions_in(experiment.backend, experiment.experiment_id):
        if revision.finished or revision.run.run_id == current.run.run_id:
            newest[revision.board] = revision
    return sorted(newest.values(), key=lambda revision: -revision.run.start)


def _line(experiment: Experiment, revision: Revision) -> str:
    tags = revision.run.tags
    name = markdown_text(f"Leaderboard {tags.get(names.SUFFIX, '')}".strip())
    links, sentence = _links(experiment, revision), markdown_text(tags[names.CONCLUSION])
    return f"**{name}** {links}: {sentence}"


def _links(experiment: Experiment, revision: Revision) -> str:
    where, view = experiment.experiment_id, views.leaderboard_key(revision.board)
    report = views.artifact_link("", where, revision.run.run_id, MARKDOWN)
    links = {"report": report}
    if experiment.backend.named_views:
        charts = views.link("", where, view, charts=True)
        links = {"table": views.link("", where, view), "charts": charts, **links}
    return " | ".join(f"[{name}]({link})" for name, link in links.items())
