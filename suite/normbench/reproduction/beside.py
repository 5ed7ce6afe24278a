"""Our means beside the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.sheets import Numbers, Sheet
from normbench.parameters import Value, typed
from normbench.quantities import counted
from normbench.reproduction.agreement import MEANINGS, Agreement, Gap, agreement, gap
from normbench.reproduction.document import Chapter, Figure, chapter
from normbench.reproduction.matching import Match, Matches

TITLE = "About the published numbers"


@dataclass(frozen=True)
class Line:
    """A published number beside ours.

    Attributes:
        match: The number and the row that repeats it.
        entry: What we have of the row; None if no result.
    """

    match: Match
    entry: Entry | None

    @cached_property
    def gap(self) -> Gap | None:
        """Ours minus theirs; None without a result of ours."""
        if self.entry is None or not self.entry.values:
            return None
        return gap(list(self.entry.values.values()), self.match.published)

    @property
    def smallest(self) -> float:
        """The smallest difference of interest."""
        return self.match.spec.problem.metric.smallest_difference

    @property
    def word(self) -> Agreement:
        """What the difference comes to."""
        if self.gap is None or self.entry is None:
            return Agreement.MISSING
        return agreement(self.gap, self.smallest, diverged=bool(self.entry.row.diverged))


def lines_of(matches: Matches, boards: Sequence[Board]) -> list[Line]:
    """Return a line for each published number that a row repeats."""
    entries = {entry.row.row: entry for board in boards for entry in board.entries}
    return [Line(match, entries.get(match.spec.row)) for match in matches.found]


def in_words(lines: Sequence[Line]) -> str:
    """Return the sentence on how many numbers agree."""
    if not lines:
        return "No published numbers of these cells are known, so nothing is compared with any."
    counts = Counter(line.word for line in lines)
    told = ", ".join(f"{word.value} {counts[word]}" for word in Agreement if counts[word])
    return f"Ours beside {counted(len(lines), 'published number')}: {told}."


def by_problem(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines of each problem, in their order."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.match.spec.problem.name, []).append(line)
    return groups


def problem_chapter(problem: str, lines: Sequence[Line], figures: Sequence[Figure]) -> Chapter:
    """Return the chapter with the published numbers of one problem beside ours."""
    return chapter(f"Published: {problem}", (_sheet(problem, lines),), figures=figures)


def beside_chapter(matches: Matches, lines: Sequence[Line]) -> Chapter:
    """Return the chapter on what the numbers beside the published ones come to, and their words."""
    told = {
        "In short": [in_words(lines)],
        "What the words mean": list(_meanings(lines)),
        "How to read the intervals": list(_about_intervals(lines)),
        "Their conditions": list(_conditions(matches, lines)),
        "What deviates from sound practice there": list(_practice(lines)),
        "Published, but without a cell here": list(_unmatched(matches)),
    }
    return chapter(TITLE, (), told)


def _sheet(problem: str, lines: Sequence[Line]) -> Sheet:
    numbers = Numbers(lines[0].match.published.metric)
    smallest = f"d/{numbers.value(lines[0].smallest)}{numbers.unit}" if lines[0].smallest else "d/δ"
    heads = (
        *("norm", "optimizer", "where", "word", f"ours{numbers.unit} [95 %]", "n"),
        *(f"published{numbers.unit}", "their sd", "their n"),
        *("ours - published [95 %]", "interval of", smallest, "changed here"),
    )
    names = telling(lines)
    rows = tuple(_cells(line, numbers, names) for line in lines)
    title = f"{problem}: {lines[0].match.published.metric}, not paired"
    right = ("n", "their sd", "their n", smallest)
    return Sheet(heads, rows, right, title)


def _cells(line: Line, numbers: Numbers, names: Sequence[str]) -> tuple[str, ...]:
    published, spec, entry, found = line.match.published, line.match.spec, line.entry, line.gap
    better = 1 if spec.problem.metric.direction == "max" else -1
    ratio = better * found.difference / line.smallest if found and line.smallest else None
    return (
        spec.norm_label,
        spec.optimizer.name,
        place_of(line, names),
        line.word.value,
        numbers.interval(entry.mean, entry.interval) if entry else "",
        _seeds(entry),
        numbers.value(published.mean) + _marked(published.remark),
        numbers.value(published.shown_sd),
        str(published.shown_n or "?"),
        numbers.interval(found.difference, found.interval, signed=True) if found else "",
        found.covers if found else "",
        "" if ratio is None else f"{ratio:+.2f}",
        " ".join(line.match.changed),
    )


def _marked(remark: str) -> str:
    return " *" if remark else ""


def _seeds(entry: Entry | None) -> str:
    if entry is None:
        return ""
    count = f"{entry.n}/{entry.planned}" if entry.row.missing else str(entry.n)
    diverged = len(entry.row.diverged)
    return f"{count} ({diverged} diverged)" if diverged else count


def place_of(line: Line, names: Sequence[str]) -> str:
    """Return those of the published conditions that tell a line from others."""
    values = line.match.published.conditions
    return " ".join(f"{name}={typed(values[name])}" for name in names if name in values)


def telling(lines: Sequence[Line]) -> list[str]:
    """Return the conditions in which published numbers of one norm and optimizer differ."""
    methods: dict[tuple[str, str], list[Mapping[str, Value]]] = {}
    for line in lines:
        spec = line.match.spec
        own = methods.setdefault((spec.norm_label, spec.optimizer.name), [])
        own.append(line.match.published.conditions)
    names = dict.fromkeys(name for line in lines for name in line.match.published.conditions)
    return [
        name
        for name in names
        if any(len({str(each.get(name)) for each in own}) > 1 for own in methods.values())
    ]


def _meanings(lines: Sequence[Line]) -> Iterator[str]:
    words = {line.word for line in lines}
    for word in Agreement:
        if word in words:
            yield f"{word.value}: {MEANINGS[word]}."
    if any(line.gap and line.smallest for line in lines):
        yield (
            "d/...: the difference in units of the problem's smallest one of interest; positive is "
            "better, as in the tables of ours."
        )


def _about_intervals(lines: Sequence[Line]) -> Iterator[str]:
    covers = {line.gap.covers for line in lines if line.gap and line.gap.interval}
    if not covers:
        return
    yield (
        "Differences are ours minus theirs, of means over different seeds, machines and libraries: "
        "never paired, not tested, and not ranked."
    )
    if "both" in covers:
        yield (
            "`both`: Welch's 95 % interval of the difference, from our seeds and from their number "
            "of seeds and spread."
        )
    if "ours" in covers:
        yield (
            "`ours`: the 95 % t interval of our mean alone, since their number of seeds or their "
            "spread is not published; their mean is taken as exact, so the interval is too narrow."
        )
    count = sum(line.gap is not None and line.gap.interval is not None for line in lines)
    if count > 1:
        yield (
            f"Each interval holds at 95 % by itself: of {count}, {0.05 * count:.1f} would leave 0 "
            "out by chance on average if nothing differed."
        )
    yield "They cover chance over seeds, not what differs in rules, code, data or hardware."


def _conditions(matches: Matches, lines: Sequence[Line]) -> Iterator[str]:
    results = [line.match.published for line in lines]
    yield from dict.fromkeys(f"{r.source.title}: {r.label}." for r in results)
    spreads: Mapping[str, str] = {
        "n": "divide by n",
        "n-1": "divide by n - 1",
        "unknown": "divide by n or n - 1, which is not published",
    }
    yield from dict.fromkeys(
        f"{r.source.title}: standard deviations {spreads[r.shown_spread]}."
        for r in results
        if r.shown_sd is not None
    )
    for remark, members in _grouped(lines, lambda line: line.match.published.remark).items():
        yield f"* {', '.join(members)}: {remark}."
    for told, members in _grouped(lines, lambda line: ", ".join(line.match.elsewhere)).items():
        yield f"Trained there with {told}: {', '.join(members)}."
    if matches.other_rules:
        yield (
            f"{matches.other_rules} more numbers are published of these problems under other "
            "rules, and are left out: normbench leaderboard --published shows them."
        )


def _grouped(lines: Sequence[Line], words: Callable[[Line], str]) -> dict[str, list[str]]:
    """Return the names of the lines by what *words* says of them; nothing leaves a line out."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        if told := words(line):
            spec = line.match.spec
            name = f"{spec.problem.name} {spec.norm_label} {spec.optimizer.name}"
            groups.setdefault(told, []).append(name)
    return groups


def _practice(lines: Sequence[Line]) -> Iterator[str]:
    sources = {line.match.published.source.title: line.match.published.source for line in lines}
    for title, source in sources.items():
        yield from (f"{title}: {text}" for text in source.deviations)


def _unmatched(matches: Matches) -> Iterator[str]:
    for result in matches.unmatched:
        conditions = " ".join(f"{k}={typed(v)}" for k, v in result.conditions.items())
        name = " ".join(filter(None, [result.problem, result.norm, result.optimizer, conditions]))
        numbers = Numbers(result.metric)
        yield f"{name}: {result.metric} {numbers.value(result.mean)}{numbers.unit}"
