"""``--links``: from a leaderboard to its rows and runs in MLflow's pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.options import Invocation

if TYPE_CHECKING:
    from normbench.leaderboard.board import Board

_F = TypeVar("_F", bound=Callable[..., Any])


def links_option(function: _F) -> _F:
    """Add ``--links``."""
    return click.option(
        "--links",
        "server",
        metavar="ADDRESS",
        help="In html and md, link rows and seeds to MLflow's pages at this address, such as "
        "http://127.0.0.1:5000 of normbench ui.",
    )(function)


def links_to(
    invocation: Invocation, boards: Sequence[Board], server: str | None
) -> Mapping[str, str]:
    """Return the addresses of rows and runs by fingerprint; none without a *server*.

    Raises:
        UsageError: If *server* is no address of the web.
        StoreError: If MLflow cannot be read, or holds none of them.
    """
    from normbench.errors import StoreError, UsageError

    if server is None:
        return {}
    if not server.startswith(("http://", "https://")):
        raise UsageError(
            f"--links {server!r} is no address: expected the form http://127.0.0.1:5000."
        )
    from normbench.tracking.addresses import addresses
    from normbench.tracking.backend import tracking_uri

    found = addresses(boards, tracking_uri(invocation.open_store()), server)
    if not found:
        raise StoreError(
            "MLflow holds none of these rows, so there is nothing to link to. Copy them there: "
            "normbench sync"
        )
    return found
