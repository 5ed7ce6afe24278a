"""Which MLflow to write to, and the connection to it."""

from __future__ import annotations

import contextlib
import logging
import os
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from normbench.errors import StoreError
from normbench.store import RunStore
from normbench.tracking import faults, views
from normbench.tracking.database import ensure_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
TELEMETRY_VARIABLES = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
ARTIFACTS = "mlflow-artifacts"
_DATABASE = "mlflow.db"
_SQLITE = "sqlite:///"
_SECONDS_FOR_VERSION = 5.0
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# They report with a traceback what we catch and report in a sentence.
_LOUD = ("mlflow.store.db.utils", "urllib3.connectionpool", "alembic")


@dataclass(frozen=True)
class Backend:
    """An MLflow tracking store.

    Attributes:
        uri: Its tracking URI.
        client: MLflow's client for it.
        artifacts: Folder for artifacts when we write them ourselves; None for servers.
        own: Whether it is the database inside the run store.
        faults: What its client raises when it cannot do something.
    """

    uri: str
    client: MlflowClient
    artifacts: Path | None
    own: bool
    faults: tuple[type[Exception], ...]

    def artifact_location(self, experiment: str) -> str | None:
        """Return where a new experiment keeps its artifacts, None for the server's choice."""
        return None if self.artifacts is None else (self.artifacts / experiment).as_uri()

    def check_location(self, location: str) -> None:
        """Check that artifacts of an experiment in the store's own database lie in the store.

        Raises:
            StoreError: If they do not: the store was moved or copied.
        """
        if not self.own or self.artifacts is None:
            return
        folder = Path(unquote(urlparse(location).path))
        if folder.is_relative_to(self.artifacts) or _same_folder(folder, self.artifacts):
            return
        raise StoreError(
            f"the run store was moved: its MLflow database {self.artifacts.parent / _DATABASE} "
            f"still keeps artifacts in {folder}. It is only a copy of the store: delete it and "
            f"{self.artifacts}, then run `normbench sync`."
        )

    def answers(self) -> bool:
        """Whether MLflow can be read at all."""
        try:
            self.client.search_experiments(max_results=1)
        except self.faults:
            return False
        return True

    @cached_property
    def named_views(self) -> bool:
        """Whether the web pages know named views."""
        return views.supported(self._version())

    def _version(self) -> str:
        """Return the version of MLflow whose pages show this store."""
        import mlflow

        if is_server(self.uri):
            with contextlib.suppress(OSError):
                address = self.uri.rstrip("/") + "/version"
                with urllib.request.urlopen(address, timeout=_SECONDS_FOR_VERSION) as answer:  # noqa: S310
                    return str(answer.read(64), "utf-8", "replace")
        return str(mlflow.__version__)


def is_server(uri: str) -> bool:
    """Whether *uri* names a tracking server."""
    return uri.startswith(("http://", "https://"))


def tracking_uri(store: RunStore, given: str | None = None) -> str:
    """Return *given*, else the environment's choice, else the database inside the store."""
    return given or os.environ.get(URI_VARIABLE) or own_uri(store)


def own_uri(store: RunStore) -> str:
    """Return the URI of the database inside the store."""
    path = store.root.resolve() / _DATABASE
    # Only what would change the meaning of the URI: MLflow makes the quoted folder, too.
    return _SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def prepare_environment() -> None:
    """Set what MLflow reads from the environment, where the user has not: no telemetry, no delays.

    Must run before mlflow is imported for the first time.
    """
    if not any(name in os.environ for name in TELEMETRY_VARIABLES):
        os.environ[TELEMETRY_VARIABLES[0]] = "true"
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in _LOUD:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)


def open_backend(store: RunStore, given: str | None = None) -> Backend:
    """Connect to MLflow; create the store's own database if it is missing.

    Raises:
        StoreError: If MLflow is not installed, or its database cannot be created, read or written,
            or has another schema; with the fix.
    """
    prepare_environment()
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise StoreError(
            f"MLflow could not be imported: {error}. Install it: pip install 'mlflow>=3.15,<4'."
        ) from error
    uri = tracking_uri(store, given)
    own = uri == own_uri(store)
    artifacts = None if is_server(uri) else store.root.resolve() / ARTIFACTS
    known = faults.known()
    try:
        if artifacts is not None and uri.startswith(_SQLITE) and "?" not in uri:
            ensure_database(store, uri, _path(uri), artifacts)
        client = MlflowClient(tracking_uri=uri)
        if not is_server(uri):
            client.search_experiments(max_results=1)
    except known as error:
        raise StoreError(faults.explain(error, uri)) from error
    return Backend(uri, client, artifacts, own, known)


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0])).absolute()


def _same_folder(location: Path, artifacts: Path) -> bool:
    """Whether the store is only reached by another path, as through a link or a mount."""
    for folder in location.parents:
        if folder.name == ARTIFACTS:
            return folder.exists() and artifacts.exists() and folder.samefile(artifacts)
    return False
