"""Comparing what the index has of runs with their folders: the part of a look that grows with them.

Of 100 000 runs it takes half a second, so the cores of this machine share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from normbench.store.files import explain, is_gone, open_folder
from normbench.store.forks import shared
from normbench.store.index_shard import Shard, unchanged
from normbench.store.index_stamps import outdated
from normbench.store.layout import FINGERPRINT, list_names

# So many runs take about as long as starting another process does.
_WORTH = 2_500


class Survey(NamedTuple):
    """What a look at the folders of some runs finds.

    Attributes:
        listed: How many folders there are.
        fresh: Runs to be read.
        gone: Runs that were known and are gone.
    """

    listed: int
    fresh: set[str]
    gone: set[str]


def survey(runs: Path, shards: Mapping[str, Shard]) -> dict[str, Survey]:
    """Compare what is known of runs with their folders.

    Args:
        runs: The folder of all runs.
        shards: What is known of those whose fingerprints begin with a digit, by this digit.

    Raises:
        StoreError: If a folder cannot be read.
    """
    buckets = list_names(runs)

    def survey_digit(digit: str) -> Survey:
        mine = (name for name in buckets if name.startswith(digit))
        return _survey(runs, mine, shards[digit])

    return shared(survey_digit, {digit: len(shard) for digit, shard in shards.items()}, _WORTH)


def _survey(runs: Path, buckets: Iterable[str], shard: Shard) -> Survey:
    """Compare the runs in the folders *buckets*, which are all that *shard* is about."""
    listed, fresh, gone = 0, set[str](), set(shard.names)
    for bucket in buckets:
        try:
            with open_folder(runs / bucket) as folder:
                there = set(os.listdir(folder))  # noqa: PTH208 - of a descriptor
                changed = _changed(bucket, there, shard, folder)
        except OSError as error:
            if is_gone(error):
                continue
            raise explain("read", runs / bucket, error) from error
        listed += len(there)
        fresh |= changed
        gone -= there
    for name in shard.watched.keys() - gone - fresh:
        if not unchanged(f"{runs}/{name[:2]}/{name}", shard.watched[name]):
            fresh.add(name)
    return Survey(listed, fresh, gone)


def _changed(bucket: str, there: set[str], shard: Shard, folder: int) -> set[str]:
    """Return what is to be read of the runs *there*, in the open directory *folder*."""
    span = shard.span(bucket)
    names = shard.names[span]
    new = {name for name in there.difference(names) if name.startswith(bucket)}
    stamps = [column[span] for column in shard.stamps]
    return set(filter(FINGERPRINT.fullmatch, new)) | (outdated(names, stamps, folder) & there)
