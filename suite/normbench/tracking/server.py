"""MLflow's web pages on a run store, served from this machine to this machine."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normbench.errors import StoreError, UsageError
from normbench.store import RunStore
from normbench.tracking import names, views
from normbench.tracking.backend import Backend, is_server, open_backend
from normbench.tracking.child import free_port, running_server
from normbench.tracking.collector import Collector
from normbench.tracking.sync import sync

if TYPE_CHECKING:
    from mlflow.entities import Experiment

HOST = "127.0.0.1"
PORT = 5000
_ALL_EXPERIMENTS = "#/experiments?workflowType=machine_learning"
_MOST_LINKS = 20


def serve(
    store: RunStore,
    *,
    host: str = HOST,
    port: int = PORT,
    only: bool = False,
    open_browser: bool = False,
    say: Callable[[str], object] | None = None,
) -> None:
    """Serve MLflow's pages on *store* until Ctrl-C or SIGTERM; new results appear as they come.

    Where ``$MLFLOW_TRACKING_URI`` names a server, the store is copied there, its links are given,
    and nothing is started.

    Args:
        store: The run store.
        host: Address to listen on; any but this machine's own lets the network in.
        port: First port to try, 0 for any; where it is taken, the next free one is used and said.
        only: Refuse a *port* that is taken instead.
        open_browser: Whether to open the first link.
        say: Receives lines for the user; by default they go to standard output.

    Raises:
        UsageError: If there is no other *port* than one that is taken.
        StoreError: If MLflow's database cannot be used, or its server does not start or ends by
            itself.
    """
    say = say or _print
    backend = open_backend(store)
    if only and port and not is_server(backend.uri) and free_port(host, port) != port:
        raise UsageError(
            f"port {port} is taken, or refused by browsers. Give another one with --port, or leave "
            f"--port out: then the first free one from {PORT} on is used."
        )
    _copy_first(store, say)
    if is_server(backend.uri):
        _show_links(backend, backend.uri.rstrip("/") + "/", open_browser, say)
        return
    free = free_port(host, port)
    if port and free != port:
        say(f"Port {port} is taken, or refused by browsers; using {free}.")
    with Collector(store), running_server(store, backend.uri, host, free) as server:
        if not server.stopping:
            _show_links(backend, server.address, open_browser, say)
            say("Ctrl-C ends the server.")
        server.wait()


def _copy_first(store: RunStore, say: Callable[[str], object]) -> None:
    """Copy what is new, so that the first look at the pages is complete."""
    try:
        report = sync(store, wait=0.0)
    except StoreError as error:
        say(str(error))
        return
    if report.created or report.updated or report.failed:
        say(f"Copied to MLflow: {report}.")
    for problem in report.problems:
        say(problem)


@dataclass(frozen=True)
class _Page:
    """The page of an experiment.

    Attributes:
        name: The experiment.
        link: Opens its leaderboard where one was published, else its runs.
        published: When that was, in milliseconds; 0 for never.
    """

    name: str
    link: str
    published: int


def _show_links(
    backend: Backend, address: str, open_browser: bool, say: Callable[[str], object]
) -> None:
    """Say the link to each experiment; open what was published last, the only one, or the list."""
    pages = _pages(backend, address)
    everything = address + _ALL_EXPERIMENTS
    if len(pages) != 1:
        say(f"MLflow: {everything}")
    for page in pages[:_MOST_LINKS]:
        say(f"{page.name}: {page.link}")
    if not open_browser:
        return
    first = pages[0] if pages and (pages[0].published or len(pages) == 1) else None
    webbrowser.open(first.link if first else everything)


def _pages(backend: Backend, address: str) -> list[_Page]:
    """Return the pages of our experiments, what was published last first, then by name."""
    try:
        found = backend.client.search_experiments(filter_string=f"name LIKE '{names.PREFIX}%'")
    except backend.faults:
        return []
    pages = [_page(experiment, address) for experiment in found]
    return sorted(pages, key=lambda page: (-page.published, page.name))


def _page(experiment: Experiment, address: str) -> _Page:
    tags = experiment.tags
    wanted = (tags.get(names.PUBLISHED_VIEW, ""), views.RUNS)
    # A view that people deleted would open an error page.
    view = next((key for key in wanted if views.tag_of(key) in tags), None)
    return _Page(
        name=experiment.name,
        link=views.link(address, experiment.experiment_id, view),
        published=int(tags.get(names.PUBLISHED, 0)),
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
