"""What a set of runs will take, and what it will be able to show, before any of it is trained.

Nothing here adds a run to a store or changes one.
"""

from __future__ import annotations
