"""The commands that repeat the runs of a report, and their seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from normbench.descriptions import Dataset
from normbench.leaderboard.notes import seed_list
from normbench.plugins import Catalogue
from normbench.reproduction.asked import Asked
from normbench.reproduction.document import Chapter, chapter
from normbench.reproduction.machines import Trained
from normbench.reproduction.planned import Planned


def repeating_chapter(
    found: Planned, asked: Asked, trained: Trained, catalogue: Catalogue
) -> Chapter:
    """Return the chapter with seeds, digests and the commands that make it all again."""
    lines = {
        "Seeds": list(_seeds(found)),
        "Data": list(_data(found, catalogue)),
        "Sameness": [
            "The same runs on the same kind of device with the same versions end in the same "
            "bits; elsewhere numbers may round differently.",
            f"Digest of the runs that were asked for: {_asked_for(found)}.",
        ],
    }
    if asked.name != asked.suite:
        name = Path(asked.suite).name
        lines["The suite"] = [
            f"It is written in the file {name}, shown below without what it includes."
        ]
    return chapter(
        "Run it again", (), lines, commands=tuple(_commands(found, asked, trained, catalogue))
    )


def suite_chapter(asked: Asked) -> list[Chapter]:
    """Return the chapter with the suite's file; none for a registered suite."""
    if asked.name == asked.suite:
        return []
    path = Path(asked.suite)
    text = path.read_text(encoding="utf-8")
    return [chapter(f"The suite: {path.name}", (), commands=text.splitlines())]


def _seeds(found: Planned) -> Iterator[str]:
    groups: dict[tuple[str, tuple[int, ...]], int] = {}
    for each in found.rows:
        key = each.spec.protocol.name, each.seeds
        groups[key] = groups.get(key, 0) + 1
    for (protocol, seeds), count in groups.items():
        yield f"{count} cells under protocol {protocol}: seeds {seed_list(seeds)}"


def _data(found: Planned, catalogue: Catalogue) -> Iterator[str]:
    for name in dict.fromkeys(each.spec.problem.dataset.name for each in found.rows):
        dataset = catalogue.get(Dataset, name)
        licence = f", licence {dataset.source.licence}" if dataset.source.licence else ""
        reference = dataset.source.reference or dataset.source.title
        by_hand = f" {dataset.by_hand}" if dataset.by_hand else ""
        yield f"{name}{f' ({reference}{licence})' if reference else ''}.{by_hand}"


def _asked_for(found: Planned) -> str:
    """Return 16 hexadecimal digits that depend on the rows and seeds asked for alone."""
    text = "\n".join(sorted(f"{each.spec.row} {each.seeds}" for each in found.rows))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _commands(
    found: Planned, asked: Asked, trained: Trained, catalogue: Catalogue
) -> Iterator[str]:
    commits = trained.commits
    if len(commits) == 1 and (commit := next(iter(commits))) and " " not in commit:
        yield f"git checkout {commit} && pip install -c constraints.txt ."
    fetched = [
        each.spec.problem.name
        for each in found.rows
        if catalogue.get(Dataset, each.spec.problem.dataset.name).download_size
    ]
    if fetched:
        yield asked.prepare(list(dict.fromkeys(fetched)))
    yield asked.train()
    yield asked.report()
