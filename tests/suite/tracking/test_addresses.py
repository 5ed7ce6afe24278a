"""Links from a leaderboard to its rows and runs in MLflow's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from normbench.errors import StoreError
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.reading import StoreReader
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.tracking import sync
from normbench.tracking.addresses import addresses
from normbench.tracking.backend import open_backend, own_uri

SERVER = "http://127.0.0.1:5000"


@pytest.fixture
def boards(store: RunStore, train: Callable[..., Any]) -> list[Any]:
    """The board of two norms with two seeds each."""
    catalogue = load_catalogue()
    for norm in ("none", "batch_norm"):
        request = Request(problem="digits_cnn", optimizer="momentum", norm=norm, seeds=2)
        for spec in resolve(request, catalogue):
            train(spec)
    return make_boards(StoreReader(store), catalogue, Wanted())


def test_every_row_and_run_has_an_address(store: RunStore, boards: list[Any]) -> None:
    """Each leads to the MLflow run that holds it, and to no other."""
    sync(store)
    found = addresses(boards, own_uri(store), SERVER)
    client = open_backend(store).client
    rows = [entry.row for entry in boards[0].entries]

    assert {row.row for row in rows} | {
        run.fingerprint for row in rows for run in row.runs.values()
    } == found.keys()
    for fingerprint, address in found.items():
        assert address.startswith(f"{SERVER}/#/experiments/")
        run = client.get_run(address.partition("/runs/")[2].partition("?")[0])
        assert fingerprint in (
            run.data.tags.get("normbench.fingerprint"),
            run.data.tags.get("normbench.row"),
        )


def test_what_mlflow_lacks_has_no_address(store: RunStore, boards: list[Any]) -> None:
    """An MLflow without these rows gives no link, and one that cannot be read an error."""
    assert {} == addresses(boards, own_uri(store), SERVER)
    with pytest.raises(StoreError, match="normbench sync"):
        addresses(boards, f"sqlite:///{store.root}/missing.db", SERVER)
