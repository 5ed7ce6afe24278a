"""Where in a YAML file a key stands, for messages about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from normbench.errors import UsageError

Path = tuple[str | int, ...]


class PlacedError(UsageError):
    """What is wrong at a place of a file.

    Attributes:
        path: Keys and indices that lead there from the top.
        message: What is wrong.
        line: Where it stands, if it is not where the path leads.
    """

    def __init__(self, path: Path, message: str, line: int | None = None) -> None:
        super().__init__(f"{shown(path)}: {message}" if path else message)
        self.path = path
        self.message = message
        self.line = line


class Places:
    """The lines of a YAML file's keys.

    Args:
        text: The file's content.

    Raises:
        PlacedError: If a mapping has a key twice, or what looks like a list torn apart by braces.
        yaml.YAMLError: If it is no YAML.
    """

    def __init__(self, text: str) -> None:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        self._lines: Mapping[Path, int] = dict(_walk(node, ())) if node is not None else {}

    def line(self, path: Path) -> int | None:
        """Return the line of the key that *path* leads to, or of the nearest one above it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path) if path else None


def placed(path: Path, line: int | None) -> str:
    """Return line and path in words, such as ``line 4, norms[1].num_groups``; empty at the top."""
    parts = [f"line {line}"] if line else []
    return ", ".join([*parts, shown(path)] if path else parts)


def shown(path: Path) -> str:
    """Return *path* as it is written: ``grids[0].norms[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".")


def _walk(node: Node, path: Path) -> Iterator[tuple[Path, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*path, index))
    if isinstance(node, MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            _refuse_torn_list(node, key, value, path)
            if name in seen:
                raise PlacedError(
                    path,
                    f"key {name!r} comes twice, in lines {seen[name]} and {line}. Keep one of "
                    "them.",
                    line,
                )
            seen[name] = line
            yield from _walk(value, (*path, name))
            yield (*path, name), line


def _refuse_torn_list(parent: MappingNode, key: Node, value: Node, path: Path) -> None:
    """Refuse ``{sites: 0,1,1}``, which YAML reads as keys 1 and 1 without values."""
    number = isinstance(key, ScalarNode) and key.tag == "tag:yaml.org,2002:int"
    empty = isinstance(value, ScalarNode) and not value.value
    if number and empty and parent.flow_style:
        before = [str(k.value) for k, _ in parent.value if not str(k.value).isdecimal()]
        name = before[-1] if before else "it"
        raise PlacedError(
            path,
            f"key {key.value} has no value: within braces a comma ends a value. Put what belongs "
            f'to {name} in quotes, such as {name}: "0,1,1", or in brackets.',
            key.start_mark.line + 1,
        )
