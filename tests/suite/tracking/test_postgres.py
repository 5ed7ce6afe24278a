"""The same leaderboard from MLflow on a real PostgreSQL; `make test-postgres`."""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from normbench.errors import StoreError
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.formats import FORMATS
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.sections import report_sections
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore
from normbench.tracking import SyncReport, sync
from normbench.tracking.reader import MlflowReader

_DEBIAN = Path("/usr/lib/postgresql")
_USERS = ("postgres", "nobody")
pytestmark = pytest.mark.postgres


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL; Debian keeps most of them out of the way."""
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (str(versions[-1]) if versions else "")
    if not found:
        pytest.skip(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return found


def _run_as() -> str | None:
    """Return the user to run PostgreSQL as, which refuses root; None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _USERS:
        if name in known:
            return name
    return pytest.skip("PostgreSQL does not run as root, and there is no user to run it as")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A private PostgreSQL that listens to nothing but a socket in its own folder."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'normbench[postgres]'")
    make, control, user = _program("initdb"), _program("pg_ctl"), _run_as()
    # Names of sockets are limited to about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="normbench-pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def call(*words: str) -> None:
        subprocess.run(words, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    call(make, "--pgdata", str(data), "--username", "normbench", "--auth", "trust", "--no-sync")
    settings = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call(control, "start", "-w", "-D", str(data), "-l", str(folder / "log"), "-o", settings)
    try:
        yield f"postgresql://normbench:secret@/postgres?host={folder}"
    finally:
        call(control, "stop", "-D", str(data), "-m", "immediate")
        shutil.rmtree(folder)


def test_the_leaderboard_is_the_same(
    cluster: str, tmp_path: Path, result: Callable[..., dict[str, Any]]
) -> None:
    """Every format shows what the store shows, and a second copy sends nothing."""
    store = RunStore.open(tmp_path / "store", create=True)
    catalogue, chance = load_catalogue(), random.Random(2)
    for optimizer in ("sgd", "momentum"):
        request = Request(problem="digits_cnn_bn", optimizer=optimizer, seeds=5)
        for spec in resolve(request, catalogue):
            known = result(spec.seed, 3)
            known["score"] = known["final"]["test"]["accuracy"] = chance.random()
            with store.add(spec).claim({"hardware": {"device": "ä" * 6000}}) as attempt:
                attempt.publish(known)
    report = sync(store, uri=cluster)

    again = sync(store, uri=cluster)

    assert (SyncReport(created=10), SyncReport(unchanged=10)) == (report, again)
    reader = MlflowReader(cluster)
    shown = [
        [
            form(report_sections(make_boards(source, catalogue, Wanted())))
            for form in FORMATS.values()
        ]
        for source in (StoreReader(store), reader)
    ]
    assert shown[0] == shown[1]
    assert "secret" not in reader.place


def test_a_database_that_is_away_is_said_at_once(cluster: str) -> None:
    """Without MLflow's two minutes of attempts, and without the password."""
    away = cluster.replace("/postgres?", "/missing?")

    with pytest.raises(StoreError, match=r'does not answer: .*"missing" does not exist') as raised:
        MlflowReader(away).rows()

    assert "secret" not in str(raised.value)
