"""MLflow tracking: a mirror of the run store in experiments, runs and views.

The store is the truth; MLflow holds a copy that :func:`sync` can bring up to date at any time and
rebuild from nothing. This is the only package that imports mlflow, and only when it is used.
"""

from __future__ import annotations

from normbench.tracking.collector import Collector
from normbench.tracking.figures import publish_figure
from normbench.tracking.report import SyncReport
from normbench.tracking.server import serve
from normbench.tracking.sync import sync

__all__ = ["Collector", "SyncReport", "publish_figure", "serve", "sync"]
