"""What keeps rows apart: one table holds what differs in norm, ablation and optimizer alone.

Leaderboards and plans group by the same functions, so that a plan speaks of the tables to come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_COMPARED = ("norm", "ablation", "optimizer")


def comparable(identity: Mapping[str, Any]) -> str:
    """Return what two rows must share to be compared: all but norm, ablation and optimizer.

    Args:
        identity: What tells a row from others, see :class:`normbench.specs.RunSpec`.
    """
    shared = {name: value for name, value in identity.items() if name not in _COMPARED}
    files = identity.get("files", {})
    shared["files"] = {name: files[name] for name in files if name not in _COMPARED}
    return json.dumps(shared, sort_keys=True)


def titles(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return a title for each table; tables of the same words are told apart by what differs.

    Args:
        groups: Words of each table, its problem, its protocol and what changed it, by what
            :func:`comparable` returns of its rows.
    """
    words = {key: tuple(each) for key, each in groups.items()}
    return {
        key: " ".join(
            [*each, *_own(key, [other for other in words if other != key and words[other] == each])]
        )
        for key, each in words.items()
    }


def mixture(first: str, second: str) -> list[str]:
    """Return what keeps rows from being compared, such as ``protocol.precision``; or nothing.

    Each word says what the two have.

    Args:
        first: What :func:`comparable` returns of one of them.
        second: The same of the other.
    """
    one, other = (_flat(json.loads(each)) for each in (first, second))
    return [
        f"{name} ({one.get(name, 'default')} and {other.get(name, 'default')})"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _own(key: str, others: Sequence[str]) -> list[str]:
    """Return what *key* has and one of the *others* has not."""
    rest = [_flat(json.loads(other)) for other in others]
    return [
        f"{name}={value}"
        for name, value in _flat(json.loads(key)).items()
        if any(other.get(name) != value for other in rest)
    ]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
