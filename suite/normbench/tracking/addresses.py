"""Where rows and runs are found in MLflow's pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from normbench.errors import StoreError
from normbench.leaderboard.board import Board
from normbench.tracking import faults, names, views
from normbench.tracking.backend import connect

_PAGE = 1_000
_FINGERPRINTS = {names.KIND_ROW: names.ROW, names.KIND_SEED: names.FINGERPRINT}


def addresses(boards: Iterable[Board], uri: str, server: str) -> dict[str, str]:
    """Return the addresses of the rows and runs of *boards* by fingerprint.

    Args:
        boards: The boards; what MLflow does not hold of them has no address.
        uri: Tracking URI of the MLflow that holds them.
        server: Address of its pages.

    Raises:
        StoreError: If MLflow cannot be read.
    """
    experiments = {names.experiment_of(b.problem, b.entries[0].row.protocol) for b in boards}
    base = server.rstrip("/") + "/"
    try:
        client = connect(uri)
        found = [client.get_experiment_by_name(name) for name in sorted(experiments)]
        chosen = [experiment.experiment_id for experiment in found if experiment is not None]
        return dict(_read(client, chosen, base)) if chosen else {}
    except faults.known() as error:
        raise StoreError(faults.explain(error, uri, reading=True)) from error


def _read(client: Any, experiments: list[str], base: str) -> Iterator[tuple[str, str]]:
    for kind, tag in _FINGERPRINTS.items():
        token = None
        while True:
            words = f"tags.`{names.KIND}` = '{kind}'"
            page = client.search_runs(experiments, words, max_results=_PAGE, page_token=token)
            for run in page:
                yield (
                    run.data.tags[tag],
                    views.run_link(base, run.info.experiment_id, run.info.run_id),
                )
            token = page.token
            if not token:
                break
