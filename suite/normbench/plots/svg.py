"""Figures as SVG to stand inside a page, whose colours they take."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Element = ElementTree.Element[str]

SPACE = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_SIZE = re.compile(r"([\d.]+)px")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_PAINTS = ("fill", "stroke")
_INK = "#000000"


def svg(figure: Figure, label: str = "") -> str:
    """Return *figure* as an ``<svg>`` element for a page.

    It holds no style of its own, so that a strict page may show it: black is the colour of the
    page's text, every other colour is written as it is and named by a class, such as
    ``fill-0072b2``, by which a page may change it. Texts stay texts. Ids are the figure's own.

    Args:
        figure: The figure.
        label: What it shows, for those who do not see it.
    """
    text = _written(figure)
    root = ElementTree.fromstring(text)  # noqa: S314 - matplotlib wrote it just now
    for name in ("metadata", "style"):
        _drop(root, f"{{{SPACE}}}{name}")
    _plain_links(root, hashlib.sha256(text).hexdigest()[:8])
    for node in root.iter():
        node.tag = node.tag.removeprefix(f"{{{SPACE}}}")
        _plain_style(node)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"xmlns": SPACE, "class": "figure", "role": "img", "font-family": "sans-serif"}
    # Black is what shapes and texts without a colour of their own have.
    root.set("fill", "currentColor")
    if label:
        root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _written(figure: Figure) -> bytes:
    import matplotlib

    stream = io.BytesIO()
    # A fixed salt and no date: the same figure is the same text.
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "normbench"}),
        warnings.catch_warnings(),
    ):
        # The reader's fonts have what matplotlib's lack.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue()


def _drop(root: Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in parent.findall(tag):
            parent.remove(child)


def _plain_links(root: Element, prefix: str) -> None:
    """Keep the ids that something refers to, and make them the figure's own."""
    used = {name for node in root.iter() for name in _referred(node)}
    for node in root.iter():
        if link := node.attrib.pop(_LINK, ""):
            node.set("href", f"#{prefix}{link[1:]}" if link.startswith("#") else link)
        for name, value in node.items():
            node.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
        if (own := node.attrib.pop("id", None)) in used:
            node.set("id", f"{prefix}{own}")


def _referred(node: Element) -> Iterator[str]:
    yield node.get(_LINK, "").removeprefix("#")
    for value in node.attrib.values():
        yield from _REFERENCE.findall(value)


def _plain_style(node: Element) -> None:
    """Turn the style of a node into attributes and classes."""
    declared = (part.split(":", 1) for part in node.attrib.pop("style", "").split(";") if part)
    for name, value in ((name.strip(), value.strip()) for name, value in declared):
        if name == "font":
            size = _FONT_SIZE.search(value)
            node.set("font-size", size[1] if size else "10")
        elif name not in ("stroke-linejoin", "stroke-linecap"):
            node.set(name, value)
    classes = []
    for paint in _PAINTS:
        colour = node.get(paint, "")
        if colour == _INK:
            node.set(paint, "currentColor")
        elif _COLOUR.fullmatch(colour):
            classes.append(f"{paint}-{colour[1:]}")
    if classes:
        node.set("class", " ".join(classes))
