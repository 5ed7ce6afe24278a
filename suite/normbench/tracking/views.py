"""Saved views of an experiment's page in MLflow's web pages.

MLflow's pages keep a named view in one tag of the experiment, ``mlflow.sharedViewState.ID``, whose
value is JSON with the name, the time and the compressed state of the page, and open it with
``viewStateShareKey=ID`` in the link. The form is MLflow's own and undocumented (seen in 3.15 to
3.17), so all that is known of it stays in this module; where it is not understood, the page opens
without a view.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.descriptions import Metric
from normbench.tracking import names
from normbench.tracking.seeds import result_keys

VERSION = "1"
VERSION_TAG = "normbench.views"
NOTE = "mlflow.note.content"
RUNS = "normbench-runs"
CURVES = "normbench-curves"
FIRST_VERSION = (3, 15)
LONGEST_TAG = 20_000
_TAG = "mlflow.sharedViewState."
_DEFLATED = "deflate;"
_SEEDS_ONLY = f"tags.`{names.KIND}` = '{names.KIND_SEED}'"


@dataclass(frozen=True, kw_only=True)
class View:
    """One saved view.

    Attributes:
        key: What links call it by.
        name: What the page's menu calls it.
        columns: Columns of the table, in order, by MLflow's own names.
        widths: Widths of columns in pixels.
        sort: Column that orders the table.
        ascending: Direction of the order.
        group_tag: Tag whose values form the groups of the charts.
        lines: Metrics drawn as line charts.
        hidden: Metrics that get no chart; the page gives every other one a chart of its own.
    """

    key: str
    name: str
    columns: Sequence[str]
    widths: Mapping[str, int]
    sort: str
    ascending: bool = True
    group_tag: str | None = None
    lines: Sequence[str] = ()
    hidden: Sequence[str] = ()

    def tag(self) -> tuple[str, str]:
        """Return the experiment tag that holds the view.

        Raises:
            ValueError: If it is longer than MLflow takes.
        """
        content = {
            "name": self.name,
            "createdAt": int(time.time() * 1000),
            "state": _packed(self.state()),
        }
        value = json.dumps(content, separators=(",", ":"))
        if len(value) > LONGEST_TAG:
            raise ValueError(f"view {self.key!r} has {len(value)} characters, over {LONGEST_TAG}")
        return _TAG + self.key, value

    def state(self) -> dict[str, Any]:
        """Return the state of the page."""
        state: dict[str, Any] = {
            "searchFilter": _SEEDS_ONLY,
            "orderByKey": self.sort,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(self.columns),
            "columnOrder": list(self.columns),
            "columnWidths": dict(self.widths),
            "runsHiddenMode": "SHOW_ALL",
            "groupBy": self._groups(),
            "useGroupedValuesInCharts": True,
            "autoRefreshEnabled": True,
            "isAccordionReordered": True,
        }
        return state | self._charts()

    def _groups(self) -> dict[str, Any] | None:
        if self.group_tag is None:
            return None
        return {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": self.group_tag}],
        }

    def _charts(self) -> dict[str, Any]:
        if not self.lines:
            return {}
        section = _uuid(self.key, "section")
        lines = [_line(self.key, section, metric) for metric in self.lines]
        hidden = [_deleted(self.key, section, metric) for metric in self.hidden]
        return {
            "compareRunSections": [_section(section, self.name)],
            "compareRunCharts": lines + hidden,
        }


def view_tags(metric: Metric) -> Iterator[tuple[str, str]]:
    """Yield the experiment tags of all views; *metric* is what the problem is judged by."""
    yield runs_view(metric).tag()
    yield curves_view(metric).tag()


def runs_view(metric: Metric) -> View:
    """Return the table of all seeds, the best first.

    Ordered by time, the page would fold the seeds under their rows.
    """
    score, best = _metric(f"final/{metric.name}"), _metric(f"best/{metric.name}")
    widths = {
        _parameter("norm"): 150,
        _parameter("optimizer"): 120,
        _parameter("seed"): 70,
        _tag(names.STATE): 130,
        score: 160,
        best: 160,
        _metric("final/epochs"): 100,
        _metric("final/train_s"): 110,
        _metric("final/images_per_s"): 150,
    }
    return View(
        key=RUNS,
        name="Runs",
        columns=list(widths),
        widths=widths,
        sort=score,
        ascending=metric.direction == "min",
    )


def curves_view(metric: Metric) -> View:
    """Return the learning curves, one line with its range over the seeds for each row."""
    part, _, name = metric.name.partition("_")
    lines = [names.metric_key(part, name), "train/loss"]
    return View(
        key=CURVES,
        name="Curves",
        columns=(),
        widths={},
        sort=_metric(names.FINAL_SCORE),
        ascending=metric.direction == "min",
        group_tag=names.ROW_NAME,
        lines=list(dict.fromkeys(lines)),
        hidden=result_keys(name),
    )


def supported(version: str) -> bool:
    """Whether the pages of MLflow *version* know named views."""
    numbers = [int(word) for word in version.split(".")[:2] if word.isdecimal()]
    return tuple(numbers) >= FIRST_VERSION


def link(base: str, experiment_id: str, view: str | None = None) -> str:
    """Return the link that opens an experiment's runs in the model-training pages.

    Args:
        base: Address of the server, empty for links within its pages.
        experiment_id: Experiment.
        view: Key of a saved view, None for the plain page.
    """
    address = f"{base}#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    if view is None:
        return address
    chart = "&compareRunsMode=CHART" if view == CURVES else ""
    return f"{address}&viewStateShareKey={view}{chart}"


def note(experiment_id: str) -> str:
    """Return the experiment's note; its first line stays visible when it is folded."""
    runs, curves = link("", experiment_id, RUNS), link("", experiment_id, CURVES)
    return f"[Runs]({runs}) | [Curves]({curves})"


def unpacked(value: str) -> tuple[str, dict[str, Any]]:
    """Return name and page state of a view's tag; the opposite of :meth:`View.tag`."""
    content = json.loads(value)
    packed = base64.b64decode(content["state"].removeprefix(_DEFLATED))
    return content["name"], json.loads(zlib.decompress(packed))


def _packed(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, separators=(",", ":"))
    return _DEFLATED + base64.b64encode(zlib.compress(text.encode())).decode()


def _section(uuid: str, name: str) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
    }


def _deleted(view: str, section: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": _uuid(view, metric),
        "type": "BAR",
        "runsCountToCompare": 20,
        "metricSectionId": section,
        "deleted": True,
        "isGenerated": True,
        "metricKey": metric,
    }


def _line(view: str, section: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": _uuid(view, metric),
        "type": "LINE",
        "runsCountToCompare": 20,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "selectedXAxisMetricKey": "",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _uuid(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("normbench", *words))))


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _parameter(name: str) -> str:
    return f"params.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"
