"""Writing a report into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from normbench.errors import NormbenchError, UsageError
from normbench.reproduction.document import Document
from normbench.reproduction.markdown import FIGURES, illustrated, standalone, to_markdown
from normbench.reproduction.page import to_html

MARKDOWN, HTML = "report.md", "report.html"
SHAPES = ("both", "md", "html")


def write_report(document: Document, folder: Path, shape: str = "both") -> list[Path]:
    """Write ``report.md`` with its figures and ``report.html``, which needs no other file.

    Args:
        document: The report.
        folder: Where to; made if it is missing.
        shape: ``md``, ``html`` or ``both``.

    Returns:
        The files, the figures of the Markdown left out.

    Raises:
        UsageError: If *folder* is a file.
        NormbenchError: If a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file: expected a folder, or a name for one.")
    texts: dict[str, str] = {}
    figures: Mapping[str, str] = {}
    if shape != "html":
        # Both formats show the same drawings.
        document = illustrated(document)
        texts[MARKDOWN] = to_markdown(document)
        figures = _files(document)
    if shape != "md":
        texts[HTML] = to_html(document)
    try:
        (folder / FIGURES if figures else folder).mkdir(parents=True, exist_ok=True)
        for name, text in {**figures, **texts}.items():
            (folder / name).write_text(text, encoding="utf-8")
        if shape != "html":
            _remove_old(folder / FIGURES, {Path(name).name for name in figures})
    except OSError as error:
        raise NormbenchError(f"{folder} cannot be written: {error.strerror}.") from error
    return [folder / name for name in texts]


def _files(document: Document) -> Mapping[str, str]:
    return {
        f"{FIGURES}/{figure.name}.svg": standalone(figure.svg)
        for chapter in document.chapters
        for figure in chapter.figures
    }


def _remove_old(folder: Path, kept: set[str]) -> None:
    """Remove the figures of an earlier report, which are numbered as ours are."""
    for path in folder.glob("*-[0-9][0-9]-*.svg"):
        if path.name not in kept:
            path.unlink()
