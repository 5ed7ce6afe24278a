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

from normbench.errors import StoreError, UsageError, install_extra
from normbench.garbage import uncollected
from normbench.store import RunStore
from normbench.tracking import faults, moved, views
from normbench.tracking.database import check_writable, ensure_database, has_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
TELEMETRY_VARIABLES = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
ARTIFACTS = "mlflow-artifacts"
_DATABASE = "mlflow.db"
_SQLITE = "sqlite:///"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SECONDS_FOR_VERSION = 5.0
# PostgreSQL's library would wait for minutes for a host that does not answer.
_SOON = {"connect_timeout": 10}
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

    def settle_location(self, name: str, location: str) -> None:
        """Let artifacts of an experiment in the store's own database lie in the store.

        They do not where the store was moved or copied; then the database is told where they are.

        Args:
            name: The experiment.
            location: Where the database says that its artifacts are.

        Raises:
            StoreError: If they were not moved or copied with it.
            OSError: If the database cannot be written.
        """
        if not self.own or self.artifacts is None:
            return
        folder = Path(unquote(urlparse(location).path))
        if folder.is_relative_to(self.artifacts) or _same_folder(folder, self.artifacts):
            return
        database, now = self.artifacts.parent / _DATABASE, self.artifacts.as_uri()
        ending = (self.artifact_location(name) or now).removeprefix(now)
        left_behind = folder.exists() and not (self.artifacts / name).exists()
        if location.endswith(f"/{ARTIFACTS}{ending}") and not left_behind:
            moved.follow(database, location.removesuffix(ending), now)
            return
        raise StoreError(
            f"the run store was moved: its MLflow database {database} still keeps artifacts in "
            f"{folder}. Move them to {self.artifacts / name}, or delete {database} and "
            f"{self.artifacts}, which are only a copy of the store; then run `normbench sync`."
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
    return given or given_uri() or own_uri(store)


def given_uri() -> str:
    """Return the environment's choice; empty if there is none."""
    return os.environ.get(URI_VARIABLE, "")


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
    _import_mlflow()
    uri = tracking_uri(store, given)
    own = uri == own_uri(store)
    artifacts = None if is_server(uri) else store.root.resolve() / ARTIFACTS
    known = faults.known()
    try:
        if artifacts is not None and uri.startswith(_SQLITE) and "?" not in uri:
            ensure_database(store, uri, _path(uri), artifacts)
        client = _client(uri)
    except known as error:
        raise StoreError(faults.explain(error, uri)) from error
    return Backend(uri, client, artifacts, own, known)


def open_server(given: str | None = None) -> Backend:
    """Connect to a server without a run store, so as to write what was read there.

    Raises:
        UsageError: If no server is named: its artifacts would lie in the working directory.
        StoreError: If MLflow is not installed.
    """
    uri = given or given_uri()
    if not is_server(uri):
        raise UsageError(
            f"nothing to write to: {URI_VARIABLE} is {faults.shown(uri) or 'not set'}, expected "
            "the address of a server such as http://127.0.0.1:5000, or a run store with --store DIR"
        )
    return Backend(uri, connect(uri), None, own=False, faults=faults.known())


def connect(uri: str) -> MlflowClient:
    """Connect to MLflow so as to read; nothing is created.

    Raises:
        StoreError: If MLflow is not installed, or there is no database, or it cannot be read or has
            another schema; with the fix.
    """
    _import_mlflow()
    if uri.startswith(_SQLITE) and "?" not in uri:
        if not has_database(_path(uri)):
            raise StoreError(
                f"there is no MLflow database {_path(uri)}. Make it from a run store: normbench "
                "sync"
            )
        check_writable(_path(uri))
    try:
        return _client(uri)
    except faults.known() as error:
        raise StoreError(faults.explain(error, uri, reading=True)) from error


def _import_mlflow() -> None:
    prepare_environment()
    try:
        with uncollected():
            import mlflow  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"MLflow could not be imported: {error}. Install it: pip install 'mlflow>=3.15,<4'."
        ) from error


def _client(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    if is_database(uri) and not uri.startswith(_SQLITE):
        _try_database(uri)
    client = MlflowClient(tracking_uri=uri)
    if not is_server(uri):
        client.search_experiments(max_results=1)
    return client


def is_database(uri: str) -> bool:
    """Whether *uri* names a database that MLflow opens without a server."""
    return uri.partition("://")[0].partition("+")[0] in _DATABASES


def _try_database(uri: str) -> None:
    """Connect once: MLflow itself would try again for two minutes before it says why.

    Raises:
        StoreError: If the database's Python package is missing, or it does not answer.
    """
    import sqlalchemy

    soon = _SOON if uri.startswith("postgresql") else {}
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=soon)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except ImportError as error:
        raise StoreError(
            f"{faults.shown(uri)} needs a Python package that is not installed: {error}. For "
            f"PostgreSQL: {install_extra('postgres')}"
        ) from error
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StoreError(
            f"{faults.shown(uri)} is not the address of a database: expected the form "
            "postgresql://NAME:PASSWORD@HOST/DATABASE."
        ) from error
    except sqlalchemy.exc.OperationalError as error:
        raise StoreError(
            f"the MLflow database {faults.shown(uri)} does not answer: "
            f"{str(error.orig).strip().splitlines()[0]}. Check that it runs and that the address "
            "is right."
        ) from error


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0])).absolute()


def _same_folder(location: Path, artifacts: Path) -> bool:
    """Whether the store is only reached by another path, as through a link or a mount."""
    for folder in location.parents:
        if folder.name == ARTIFACTS:
            return folder.exists() and artifacts.exists() and folder.samefile(artifacts)
    return False
