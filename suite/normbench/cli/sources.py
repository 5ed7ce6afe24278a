"""Where leaderboards are read: from a run store, or from the MLflow that it was copied to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.options import Invocation

if TYPE_CHECKING:
    from normbench.leaderboard.reading import Reader
    from normbench.plugins import Catalogue

_F = TypeVar("_F", bound=Callable[..., Any])
STORE = "store"
_MLFLOW = "mlflow"


def source_option(function: _F) -> _F:
    """Add ``--source``."""
    return click.option(
        "--source",
        type=click.Choice((STORE, _MLFLOW)),
        default=STORE,
        show_default=True,
        help="Where to read: the run store, or MLflow as `normbench sync` left it, at "
        "$MLFLOW_TRACKING_URI or else in the store. The tables are the same.",
    )(function)


def open_source(
    invocation: Invocation, source: str, problems: Sequence[str], protocols: Sequence[str]
) -> tuple[Reader, Catalogue]:
    """Return what reads the rows, and the catalogue with the settings tuned there.

    Args:
        invocation: What the shared options said.
        source: What ``--source`` said.
        problems: Problems wanted, empty for all.
        protocols: Protocols wanted, empty for all.

    Raises:
        UsageError: If there is nothing to read.
        StoreError: If it cannot be read.
    """
    if source == _MLFLOW:
        return _open_mlflow(invocation, problems, protocols)
    from normbench.leaderboard.reading import StoreReader

    return StoreReader(invocation.open_store(), invocation.place_option), invocation.catalogue


def _open_mlflow(
    invocation: Invocation, problems: Sequence[str], protocols: Sequence[str]
) -> tuple[Reader, Catalogue]:
    from normbench.leaderboard.choosing import base_problem
    from normbench.tracking.reader import MlflowReader

    catalogue = invocation.catalogue
    reader = MlflowReader(
        _tracking_uri(invocation),
        problems=[base_problem(name, catalogue) for name in problems],
        protocols=protocols,
        option=invocation.place_option if invocation.store_path.exists() else "",
    )
    return reader, catalogue.with_settings(reader.settings())


def _tracking_uri(invocation: Invocation) -> str:
    from normbench.errors import UsageError
    from normbench.tracking.backend import URI_VARIABLE, given_uri, own_uri

    uri = given_uri()
    if uri:
        return uri
    if not invocation.store_path.exists():
        raise UsageError(
            f"there is no MLflow to read: ${URI_VARIABLE} is not set, and there is no run store at "
            f"{invocation.store_path} that could hold a database of its own. Set {URI_VARIABLE} "
            "to the address of a server, or give a store with --store DIR."
        )
    return own_uri(invocation.open_store())
