"""Who is better here, by how much, and could it be chance: the statistics of finished runs."""

from __future__ import annotations
