"""The form of a saved view in MLflow's web pages.

MLflow's pages keep a named view in one tag of the experiment, ``mlflow.sharedViewState.ID``, whose
value is JSON with the name, the time and the compressed state of the page, and open it with
``viewStateShareKey=ID`` in the link. The form is MLflow's own and undocumented (seen in 3.15 to
3.17), so all that is known of it stays in this module; where it is not understood, the page opens
without a view.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FIRST_VERSION = (3, 15)
LONGEST_TAG = 20_000
_TAG = "mlflow.sharedViewState."
_DEFLATED = "deflate;"


@dataclass(frozen=True, kw_only=True)
class View:
    """One saved view.

    Attributes:
        key: What links call it by.
        name: What the page's menu calls it.
        where: Filter of the runs.
        columns: Columns of the table in order, by MLflow's own names, with widths in pixels.
        sort: Column that orders the table.
        ascending: Direction of the order.
        group_tag: Tag whose values form the groups of the charts.
        bars: Metrics drawn as bars, one for each run.
        lines: Metrics drawn against epochs.
        hidden: Metrics that get no chart; the page gives every other one a chart of its own.
        place: Place in the menu among views that are written together.
    """

    key: str
    name: str
    where: str
    columns: Mapping[str, int] = field(default_factory=dict)
    sort: str
    ascending: bool = True
    group_tag: str | None = None
    bars: Sequence[str] = ()
    lines: Sequence[str] = ()
    hidden: Sequence[str] = ()
    place: int = 0

    def tag(self) -> tuple[str, str]:
        """Return the experiment tag that holds the view.

        Raises:
            ValueError: If it is longer than MLflow takes.
        """
        content = {
            "name": self.name,
            # The menu has the newest first. Making all of them takes some milliseconds, and those
            # that are written next, such as a leaderboard's, come a second later.
            "createdAt": int(1000 * time.time()) - 100 * self.place,
            "state": _packed(self.state()),
        }
        value = json.dumps(content, separators=(",", ":"))
        if len(value) > LONGEST_TAG:
            raise ValueError(f"view {self.key!r} has {len(value)} characters, over {LONGEST_TAG}")
        return tag_of(self.key), value

    def state(self) -> dict[str, Any]:
        """Return the state of the page."""
        state: dict[str, Any] = {
            "searchFilter": self.where,
            "orderByKey": self.sort,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(self.columns),
            "columnOrder": list(self.columns),
            "columnWidths": dict(self.columns),
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
        if not self.lines and not self.bars:
            return {}
        section = _uuid(self.key, "section")
        bars = [_card(self.key, section, metric) for metric in self.bars]
        lines = [_line(self.key, section, metric) for metric in self.lines]
        hidden = [
            _card(self.key, section, metric) | {"deleted": True, "isGenerated": True}
            for metric in self.hidden
        ]
        return {
            "compareRunSections": [_section(section, self.name)],
            "compareRunCharts": bars + lines + hidden,
        }


def tag_of(key: str) -> str:
    """Return the experiment tag that holds the view of this key."""
    return _TAG + key


def supported(version: str) -> bool:
    """Whether the pages of MLflow *version* know named views."""
    numbers = [int(word) for word in version.split(".")[:2] if word.isdecimal()]
    return tuple(numbers) >= FIRST_VERSION


def unpacked(value: str) -> tuple[str, dict[str, Any]]:
    """Return name and page state of a view's tag; the opposite of :meth:`View.tag`."""
    content = json.loads(value)
    packed = base64.b64decode(content["state"].removeprefix(_DEFLATED))
    return content["name"], json.loads(zlib.decompress(packed))


def fingerprint(value: str) -> str:
    """Return what tells the view in a tag from others, whenever it was made; for any text."""
    try:
        content: object = unpacked(value)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        content = value
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def metric(name: str) -> str:
    """Return what the pages call the column of a metric."""
    return f"metrics.`{name}`"


def parameter(name: str) -> str:
    """Return what the pages call the column of a parameter."""
    return f"params.`{name}`"


def tag(name: str) -> str:
    """Return what the pages call the column of a tag."""
    return f"tags.`{name}`"


def has_tags(wanted: Mapping[str, str]) -> str:
    """Return the filter for runs whose tags have these values."""
    return " and ".join(f"{tag(name)} = {_quoted(value)}" for name, value in wanted.items())


def lacks_tags(name: str, unwanted: Iterable[str]) -> str:
    """Return the filter for runs that have a tag with another value than these."""
    return " and ".join(f"{tag(name)} != {_quoted(value)}" for value in unwanted)


def quotable(value: str) -> bool:
    """Whether a filter can hold *value*: it knows no escapes."""
    return not ("'" in value and '"' in value)


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


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


def _card(view: str, section: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": _uuid(view, metric),
        "type": "BAR",
        "runsCountToCompare": 20,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "metricKey": metric,
    }


def _line(view: str, section: str, metric: str) -> dict[str, Any]:
    return _card(view, section, metric) | {
        "type": "LINE",
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
