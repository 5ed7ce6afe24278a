"""The leaderboard as one HTML file: no network, sortable, filterable, readable on a phone."""

from __future__ import annotations

from normbench.leaderboard.page.assembling import leaderboard_page
from normbench.leaderboard.page.pictures import Picture

__all__ = ["Picture", "leaderboard_page"]
