"""Drawing the figures of a report, with captions in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from normbench.errors import UsageError
from normbench.plots import Look, draw_figure, svg
from normbench.reproduction.asked import Asked
from normbench.reproduction.beside import Line
from normbench.reproduction.choosing import MOST_CURVES, Wish, wishes
from normbench.reproduction.document import Chapter, Figure, chapter, file_name
from normbench.reproduction.gap_figure import CAPTION, gap_figure
from normbench.reproduction.planned import Planned, PlannedRow
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun

MOST_FIGURES = 60
_PARAMETERS = "norm_parameters"
_MOST_TILES = 6000
_MOST_MAPS = 4
_QUANTITIES: Mapping[str, Sequence[str]] = {
    "activations": ("activation_variance", "stable_rank", "cosine_similarity", "gradient_norm"),
    "spheres": ("effective_learning_rate", "weight_norm"),
}
CAPTIONS: Mapping[str, str] = {
    "curves": (
        "Loss and score of each part after every epoch. A line is the mean over finished seeds, "
        "its band reaches from the smallest to the largest seed, and × marks where a seed diverged."
    ),
    "batch_size": (
        "Test error against the batch size, large batches left. A line is the mean over seeds, its "
        "band the 95 % t interval of the mean."
    ),
    "learning_rates": (
        "Training loss and score, one line for each learning rate: mean over finished seeds, and "
        "from the smallest to the largest one."
    ),
    "sensitivity": (
        "Final score against the learning rate. A line is the mean, + a seed; diverged seeds stand "
        "at the worst score."
    ),
    "ablations": (
        "Training loss and score for what of the norm trains: γ and β, one of them, neither, and "
        "the network without norm."
    ),
    "masks": (
        "Training loss on a logarithmic axis, a panel for each mask of norm sites: 1 where the "
        "norm sits. Dashed: the network without norm, and with the norm at every site."
    ),
    "parameter_means": (
        "Mean γ and β over the channels of each norm site against training steps; dashed: the bias "
        "of a layer without norm."
    ),
    "contour": (
        "γ of every channel (across) over training (upwards), of the smallest seed; white is the "
        "usual start, 1."
    ),
    "probes": (
        "What was seen by depth, before training, halfway and at the end. A line is the mean over "
        "seeds, its band reaches from the smallest to the largest."
    ),
}


@dataclass
class _Sketchbook:
    """What is drawn so far of one problem.

    Attributes:
        problem: The problem.
        runs: Its runs by row.
        figures: What could be drawn.
        refused: Why something could not, in sentences.
        observed: Whether any of the runs has series of an observer.
    """

    problem: str
    runs: Mapping[str, Sequence[StoredRun]]
    figures: list[Figure] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    observed: bool = False

    def draw(self, wish: Wish, look: Look | None = None) -> None:
        """Draw one figure, or note why it cannot be."""
        runs = [run for spec in wish.rows for run in self.runs.get(spec.row, ())]
        name = (look.quantity if look else "") or wish.figure
        try:
            drawing = draw_figure(wish.figure, runs, look)
        except UsageError as error:
            self.refused.append(f"{name}, {wish.about}: {error}")
            return
        caption = f"{self.problem}, {wish.about}: {CAPTIONS[wish.figure]}"
        number = len(self.figures) + 1
        file = file_name(f"{self.problem}-{number:02d}-{name}")
        self.figures.append(Figure(name=file, caption=caption, svg=svg(drawing, label=caption)))


def gap_figures(problem: str, lines: Sequence[Line]) -> list[Figure]:
    """Return the figure of our means beside the published ones; none before we have any."""
    if all(line.gap is None for line in lines):
        return []
    caption = f"{problem}: {CAPTION}"
    drawn = svg(gap_figure(problem, lines), label=caption)
    return [Figure(name=file_name(f"{problem}-00-published"), caption=caption, svg=drawn)]


def figure_chapters(found: Planned, store: RunStore | None, asked: Asked) -> list[Chapter]:
    """Return a chapter of figures for each problem that has results, and what no run recorded.

    Args:
        found: The suite's rows.
        store: Where the runs lie; None if results were read elsewhere, where no curves are.
        asked: The words of the request.
    """
    groups: dict[str, list[PlannedRow]] = {}
    for each in found.rows:
        if each.row is not None and each.row.scores:
            groups.setdefault(each.spec.problem.name, []).append(each)
    if not groups:
        return []
    if store is None:
        text = "Figures are drawn from a run store, and the results were not read from one."
        return [chapter("Figures", (), {"Not shown": [text]})]
    chapters, left, seen = [], MOST_FIGURES, False
    for problem, rows in groups.items():
        book = _drawn(problem, rows, store, left)
        left -= len(book.figures)
        seen = seen or book.observed
        lines = {"Not shown": book.refused}
        chapters.append(chapter(f"Figures: {problem}", (), lines, figures=book.figures))
    return chapters if seen else [*chapters, _nothing_observed(asked)]


def _nothing_observed(asked: Asked) -> Chapter:
    text = (
        "No run recorded γ and β over training, or what goes by depth: variance, stable rank, "
        "gradients, effective learning rates. The command below records them; finished runs are "
        "then trained again, and must end in the same weights."
    )
    return chapter(
        "Figures of what observers record", (), {"Not shown": [text]}, commands=[asked.observe()]
    )


def _drawn(problem: str, rows: Sequence[PlannedRow], store: RunStore, most: int) -> _Sketchbook:
    runs = {each.spec.row: list(_runs_of(each, store)) for each in rows}
    book = _Sketchbook(problem, runs)
    asked = wishes([each.spec for each in rows])
    for wish in asked[:most]:
        book.draw(wish)
    _draw_series(book, rows, max(0, most - len(asked)))
    if len(asked) > most:
        book.refused.append(
            f"{len(asked) - most} more figures: a report has {MOST_FIGURES} at most. Choose cells "
            "with --only, or draw them with: normbench plot"
        )
    return book


def _runs_of(each: PlannedRow, store: RunStore) -> Iterator[StoredRun]:
    runs = each.row.runs.values() if each.row else ()
    found = (store.get(run.fingerprint) for run in runs if run.score is not None)
    return (run for run in found if run is not None)


def _draw_series(book: _Sketchbook, rows: Sequence[PlannedRow], most: int) -> None:
    """Draw what observers recorded."""
    seen = {
        row: {name for run in runs for name in run.observed()} for row, runs in book.runs.items()
    }
    book.observed = any(seen.values())
    for wish, look in list(_series_wishes(rows, seen, book))[:most]:
        book.draw(wish, look)


def _series_wishes(
    rows: Sequence[PlannedRow], seen: Mapping[str, set[str]], book: _Sketchbook
) -> Iterator[tuple[Wish, Look | None]]:
    specs = [each.spec for each in rows]
    with_norm = [spec for spec in specs if _PARAMETERS in seen[spec.row]]
    if with_norm:
        some, which = _first(with_norm, MOST_CURVES)
        yield Wish(figure="parameter_means", rows=some, about=f"γ and β{which}"), None
        mapped, which = _first(with_norm, _MOST_MAPS)
        about = f"γ{which}"
        if _tiles(book, mapped) <= _MOST_TILES:
            yield Wish(figure="contour", rows=mapped, about=about), Look()
        else:
            book.refused.append(
                "γ of every channel, which would make this report too large. Draw it with: "
                f"normbench plot --figure contour problem={book.problem}"
            )
    for observer, quantities in _QUANTITIES.items():
        known = [spec for spec in specs if observer in seen[spec.row]]
        members, which = _first(known, MOST_CURVES)
        for quantity in quantities if members else ():
            about = f"{quantity.replace('_', ' ')}{which}"
            yield Wish(figure="probes", rows=members, about=about), Look(quantity=quantity)


def _first(specs: Sequence[RunSpec], most: int) -> tuple[tuple[RunSpec, ...], str]:
    """Return as many *specs* as a figure can hold, and words for which these are."""
    which = f" of the first {most} of {len(specs)} rows" if len(specs) > most else ""
    return tuple(specs[:most]), which


def _tiles(book: _Sketchbook, rows: Sequence[RunSpec]) -> int:
    """Return how many values a map of γ would show: channels times moments, of one seed a row."""
    total = 0
    for spec in rows:
        seen = (run for run in book.runs[spec.row] if _PARAMETERS in run.observed())
        for run in islice(seen, 1):
            total += run.series(_PARAMETERS)["gamma"].size
    return total
