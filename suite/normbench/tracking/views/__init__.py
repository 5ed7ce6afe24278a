"""Saved views of MLflow's pages, the links that open them, and the note above them.

All that is known of MLflow's own, undocumented form of a view is in
:mod:`normbench.tracking.views.form`.
"""

from __future__ import annotations

from normbench.tracking.names import NOTE
from normbench.tracking.views.form import (
    LONGEST_TAG,
    View,
    fingerprint,
    supported,
    tag_of,
    unpacked,
)
from normbench.tracking.views.keeping import kept_views
from normbench.tracking.views.links import artifact_link, link, run_link
from normbench.tracking.views.note import LONGEST_NOTE, merged, note, with_boards
from normbench.tracking.views.ofboards import (
    BoardViews,
    board_views,
    leaderboard_key,
    number_columns,
    text_columns,
)
from normbench.tracking.views.ofruns import (
    CURVES,
    DIVERGED,
    INCOMPLETE,
    RUNS,
    curves_view,
    diverged_view,
    incomplete_view,
    runs_view,
    view_tags,
)

VERSION = "2"
VERSION_TAG = "normbench.views"

__all__ = [
    "CURVES",
    "DIVERGED",
    "INCOMPLETE",
    "LONGEST_NOTE",
    "LONGEST_TAG",
    "NOTE",
    "RUNS",
    "VERSION",
    "VERSION_TAG",
    "BoardViews",
    "View",
    "artifact_link",
    "board_views",
    "curves_view",
    "diverged_view",
    "fingerprint",
    "incomplete_view",
    "kept_views",
    "leaderboard_key",
    "link",
    "merged",
    "note",
    "number_columns",
    "run_link",
    "runs_view",
    "supported",
    "tag_of",
    "text_columns",
    "unpacked",
    "view_tags",
    "with_boards",
]
