"""The launchers that come with normbench."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.descriptions import Launcher
from normbench.hookspecs import hookimpl


@hookimpl
def normbench_launchers() -> Sequence[Launcher]:
    """Offer the local launcher."""
    return (
        Launcher(
            name="local",
            summary="worker processes on this machine, one for each core or GPU",
            factory="normbench.launchers.local:LocalLauncher",
        ),
    )
