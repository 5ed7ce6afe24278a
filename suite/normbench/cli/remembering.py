"""Showing a table that was made before, if nothing of it has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normbench.cli.target import Drawn, Target, draw
from normbench.garbage import uncollected

if TYPE_CHECKING:
    from normbench.leaderboard.formats import Section
    from normbench.leaderboard.reading import Reader, StoreReader
    from normbench.plugins import Catalogue


_log = logging.getLogger(__name__)


def remembered(
    reader: Reader,
    catalogue: Catalogue,
    target: Target,
    asked: Mapping[str, Any],
    make: Callable[[], tuple[Sequence[Section], bytes]],
) -> Drawn:
    """Return what *make* makes, in a format; or what it made when all was as it is now.

    Tables read from MLflow, and those of small stores, are made each time.

    Args:
        reader: What the table is made of.
        catalogue: What the plugins offer.
        target: The format, and whether notes are left out.
        asked: All else that *make* depends on, as values of JSON.
        make: Makes the sections, and returns what that has written down of their being shown.
    """
    from normbench.leaderboard.reading import StoreReader

    with uncollected():
        if not isinstance(reader, StoreReader):
            return draw(make()[0], target)
        from normbench.leaderboard.remembered import Remembered

        asked = {**asked, "shape": target.shape, "brief": target.brief, "option": reader.option}
        table = Remembered(reader, catalogue, asked)
        known = table.text()
        if known is not None:
            _warn(reader, catalogue)
            return Drawn(target.shape, known)
        sections, shown = make()
        _warn(reader, catalogue)
        drawn = draw(sections, target)
        table.keep(drawn.text, shown)
        return drawn


def _warn(reader: StoreReader, catalogue: Catalogue) -> None:
    """Tell of damaged files that were not needed, once each."""
    for error in reader.damaged.values():
        _log.warning("%s Nothing here needs it.", error)
    catalogue.settings()
