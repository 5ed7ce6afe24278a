"""The Dask launcher: every Dask worker of a cluster drains the store, in a process of its own.

Dask says where there are machines, starts the draining and ends it. It carries no results: how far
the runs are is read from the store alone, so a future that is lost loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from normbench.launchers.base import LaunchRequest
from normbench.launchers.dask_crew import Crew
from normbench.launchers.dask_hands import stop_all
from normbench.launchers.dask_options import LOCAL, check_installed, connected, read_options
from normbench.launchers.launches import LaunchFolder


class DaskLauncher:
    """Drains a store from every worker of a Dask cluster, those that join later included.

    The draining outlives its driver, but not its Dask worker, which ends when the scheduler does.
    """

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> None:
        """Train the runs of *request*; see :class:`normbench.launchers.base.Launch`."""
        options = read_options(request.options)
        request = _absolute(request)
        with connected(options, request.slots) as client:
            launch = LaunchFolder.create("dask", request)
            try:
                Crew(client, options, request, launch).work(tick)
            finally:
                launch.note(ended=time.time())

    def check(self, options: Mapping[str, str]) -> None:
        """Check that the scheduler which the *options* name is there.

        Raises:
            UsageError: If an option does not fit, Dask is missing, or the scheduler is.
        """
        asked = read_options(options)
        check_installed()
        if asked.address != LOCAL:
            with connected(asked):
                pass

    def cancel(self, launch: LaunchFolder) -> None:
        """Stop what *launch* has started; its driver, if alive, reads so in its folder.

        Raises:
            UsageError: If the scheduler does not answer.
        """
        options = read_options(launch.info()["options"])
        launch.note(ended=time.time())
        # A cluster of the driver's own ends with it.
        if options.address != LOCAL:
            with connected(options) as client:
                stop_all(client, launch)


def _absolute(request: LaunchRequest) -> LaunchRequest:
    """Return the request with paths that mean the same on every machine."""
    return replace(
        request,
        store=request.store.absolute(),
        data_folder=request.data_folder.absolute(),
        plugin_files=tuple(file.absolute() for file in request.plugin_files),
    )
