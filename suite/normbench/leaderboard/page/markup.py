"""HTML that is escaped by construction: whatever is not markup already becomes text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"input", "meta"})
_TURNING = dict.fromkeys([0, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
Attribute = str | float | bool | None


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: Attribute) -> Markup:
    """Return an element.

    Args:
        tag: Its name.
        children: What it holds; all but :class:`Markup` is escaped.
        attributes: ``class_`` stands for ``class`` and ``data_row`` for ``data-row``; None and
            False leave an attribute out, True gives it no value.
    """
    start = f"<{tag}{''.join(_attribute(*pair) for pair in attributes.items())}>"
    return Markup(start if tag in _VOID else f"{start}{joined(children)}</{tag}>")


def prose(text: str) -> Markup:
    """Return a sentence; what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return joined([text])
    return joined(element("code", p) if place % 2 else p for place, p in enumerate(parts))


def joined(parts: Iterable[str]) -> Markup:
    """Return *parts* one after the other; all but :class:`Markup` is escaped."""
    return Markup("".join(p if isinstance(p, Markup) else _text(p) for p in parts))


def _text(text: str) -> str:
    """Escape *text*; what would turn the direction of the text after it is made to show."""
    return escape(text.translate(_TURNING))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    spelled = name.rstrip("_").replace("_", "-")
    return f" {spelled}" if value is True else f' {spelled}="{escape(str(value))}"'
