"""How runs, tags, parameters and metrics are called in MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from normbench.specs import RunSpec

SCHEMA = "1"
PREFIX = "normbench/"

PROBLEM = "normbench.problem"
PROTOCOL = "normbench.protocol"
KIND = "normbench.kind"
KIND_ROW = "row"
KIND_SEED = "seed"
KIND_LEADERBOARD = "leaderboard"
KIND_LINE = "line"
FINGERPRINT = "normbench.fingerprint"
ROW = "normbench.row"
ROW_NAME = "normbench.row_name"
CELL = "normbench.cell"
NORM = "normbench.norm"
OPTIMIZER = "normbench.optimizer"
SEED = "normbench.seed"
SETTING = "normbench.setting"
DEVIATIONS = "normbench.deviations"
STATE = "normbench.state"
OUTCOME = "normbench.outcome"
MESSAGE = "normbench.message"
STARTED = "normbench.attempt_started"
FINISHED_AT = "normbench.finished_at"
SYNCED = "normbench.synced"
PROGRESS = "normbench.progress"
OUTCOMES = "normbench.outcomes"
TIME_LEFT = "normbench.time_left"
SCORE = "normbench.score"
PARENT = "mlflow.parentRunId"

# What rows show of the leaderboard that was published last.
BOARD = "lb.board"
BOARD_RUN = "lb.board_run"
LB = "lb/"
LB_RANK = "lb/rank"
# What a leaderboard run says of itself, beside what its table says.
PUBLISHED_BOARD = "normbench.board"
REVISION = "normbench.revision"
DIGEST = "normbench.board_digest"
TITLE = "normbench.board_title"
SUFFIX = "normbench.board_suffix"
LINE = "normbench.line"
NOTE = "mlflow.note.content"
CONCLUSION = "normbench.conclusion"
SUPERSEDES = "normbench.supersedes"
PUBLISHED = "normbench.published"
PUBLISHED_VIEW = "normbench.published_view"

# Every experiment of ours; the first stops the pages from asking for its kind.
OF_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    "normbench.schema": SCHEMA,
}
SOURCE = {"mlflow.source.name": "normbench", "mlflow.source.type": "LOCAL"}

FINAL_SCORE = "final/score"
RESULTS = "row/n"
_LONGEST_TEXT = 500
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :/]")


def experiment_name(spec: RunSpec) -> str:
    """Return the name of the experiment that holds *spec*'s row."""
    return experiment_of(spec.problem.name, spec.protocol.name)


def experiment_of(problem: str, protocol: str) -> str:
    """Return the name of the experiment of all rows of *problem* under *protocol*."""
    return f"{PREFIX}{problem}/{protocol}"


def row_name(spec: RunSpec) -> str:
    """Return the row for people: norm, optimizer, and in brackets what differs from defaults.

    Two rows of one experiment never share a name.
    """
    words = [
        f"{name}={shown(value)}" for name, value in spec.identity["optimizer"]["parameters"].items()
    ]
    words += [*spec.deviations, *_later_versions(spec.identity)]
    name = f"{spec.norm_label}+{spec.optimizer_label}"
    return f"{name} [{' '.join(words)}]" if words else name


def seed_name(spec: RunSpec) -> str:
    """Return the name of the run of one seed."""
    return f"{row_name(spec)}/s{spec.seed}"


def metric_key(*words: str) -> str:
    """Return *words* as one metric key, with characters that MLflow refuses replaced by ``_``."""
    return _NOT_IN_A_KEY.sub("_", "/".join(words))


def shown(value: Any) -> str:
    """Return *value* as it is written on the command line, cut to a readable length."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = "null"
    elif isinstance(value, float):
        text = f"{value:.12g}"
    elif isinstance(value, list | tuple):
        text = ",".join(shown(item) for item in value)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name} {shown(item)}" for name, item in value.items())
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _later_versions(identity: Mapping[str, Any]) -> Iterator[str]:
    for kind, part in identity.items():
        if isinstance(part, Mapping) and part.get("version", 1) != 1:
            yield f"{kind} v{part['version']}"
