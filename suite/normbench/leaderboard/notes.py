"""What a reader of a table must know beside its numbers, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from normbench.leaderboard.against import LEAST_FOR_INTERVAL
from normbench.leaderboard.board import USUAL_ALPHA, Board, Entry
from normbench.leaderboard.making import lacks_results
from normbench.leaderboard.paired import divergence_bound
from normbench.leaderboard.reading import ReadRow
from normbench.quantities import counted

_SHOWN = 3


def notes_of(board: Board, members: Sequence[ReadRow], option: str = "") -> Iterator[str]:
    """Yield the notes of *board*, made of some of the comparable rows *members*.

    Args:
        board: The table.
        members: The rows that are comparable with those in it.
        option: What names the store to commands, such as `` --store DIR``; empty for the default.
    """
    yield from _about_choices(board)
    yield from _about_seeds(board, members, option)
    yield from _about_divergence(board)
    yield from _about_machines(board)


def _about_choices(board: Board) -> Iterator[str]:
    reference = board.reference
    if reference.row is None:
        yield (
            f"Nothing is compared: {reference.why}. Name a row with --reference, such as "
            f"--reference {board.entries[0].row.row[:8]}; its verdicts are exploratory."
        )
    if reference.post_hoc:
        yield (
            "The reference was chosen when this table was asked for, perhaps after looking: "
            "verdicts are exploratory."
        )
    if not board.primary:
        yield (
            f"{other_metric(board.metric.name)} Verdicts are exploratory, and none can be "
            "`equivalent`."
        )
    if board.terms.alpha > USUAL_ALPHA:
        yield (
            f"--alpha {board.terms.alpha:g} is above {USUAL_ALPHA:g}, perhaps chosen after "
            "looking: verdicts are exploratory."
        )
    if board.terms.correction != "holm":
        yield (
            f"--correction {board.terms.correction} does not bound the probability of a false "
            "`better`: verdicts are exploratory."
        )
    if board.dated:
        yield (
            f"Left out: {counted(board.dated, 'comparable row')} without results since the date "
            "asked for. It may have been chosen after looking: verdicts are exploratory."
        )
    if board.unasked:
        yield (
            f"{counted(board.unasked, 'comparable row')} of other settings than were asked for. "
            "These may have been chosen after looking: verdicts are exploratory."
        )
    if board.on_trust:
        yield (
            "The stages were given when this table was asked for, perhaps after looking: verdicts "
            "are exploratory. --until-decided declares stages."
        )
    if board.apart:
        yield (
            f"Not shown: {counted(len(board.apart), 'comparable row')}; p, ranks and letters are "
            "those of the whole table."
        )


def _about_seeds(board: Board, members: Sequence[ReadRow], option: str) -> Iterator[str]:
    missing = [entry for entry in board.entries if entry.row.missing and _matters(board, entry)]
    if missing and not board.terms.allow_incomplete:
        yield (
            f"Seeds without a result: {_each(board, missing, _missing)}. Such rows get no verdict "
            f"beyond `exploratory` until {_what_helps(missing, option)}."
        )
    if missing and board.terms.allow_incomplete:
        yield (
            f"Seeds without a result were left out of {counted(len(missing), 'row')} as asked; if "
            "they failed for what the row does, its mean is too good."
        )
    yield from about_damage([entry.row for entry in board.entries], board.name_of, option)
    unpaired = [e for e in board.entries if e.comparison and e.comparison.left_out]
    if unpaired:
        yield (
            "Only seeds that both have are compared; left out: "
            f"{_each(board, unpaired, _left_out)}. Means are over all seeds of a row."
        )
    tuning = sum(row.tuning for row in members)
    if tuning:
        yield f"Left out: {counted(tuning, 'run')} at tuning seeds (from 100000 on)."
    if board.trimmed:
        dated = [entry for entry in board.entries if entry.row.dated]
        of_rows = _each(board, dated, _dated) if dated else "of rows that are not shown"
        yield (
            f"Older results than --since are left out: {of_rows}. A date may be chosen after "
            "looking: verdicts are exploratory."
        )
    short = [entry for entry in board.entries if entry.n == 1]
    if short:
        rows = counted(len(short), "row")
        yield f"{rows[0].upper()}{rows[1:]} of one seed: a number, not a result."


def _what_helps(missing: Sequence[Entry], option: str) -> str:
    """Return what must happen before rows that lack results get their verdicts."""
    restored = "the damaged files are restored"
    if all(entry.row.unread == entry.row.missing for entry in missing):
        return restored
    also = any(entry.row.unread for entry in missing)
    return f"the seeds are trained: normbench resume{option}{f', and {restored}' if also else ''}"


def about_damage(
    rows: Sequence[ReadRow], name_of: Callable[[ReadRow], str], option: str = ""
) -> Iterator[str]:
    """Yield which runs of *rows* are left out since a file of theirs is damaged."""
    lost = [(row, seed) for row in rows for seed in row.unread]
    if lost:
        named = [
            f"seed {seed} of {name_of(row)} (run {row.runs[seed].fingerprint[:8]})"
            for row, seed in lost[:_SHOWN]
        ]
        more = f"; and {counted(len(lost) - _SHOWN, 'run')} more" if len(lost) > _SHOWN else ""
        yield (
            f"Left out, since a file of theirs is damaged: {'; '.join(named)}{more}. `normbench "
            f"check{option}` names the files."
        )


def about_unplaced(names: Sequence[str], option: str) -> Iterator[str]:
    """Yield which damaged runs may belong to any table."""
    if names:
        shown = ", ".join(name[:8] for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield (
            f"Left out, and perhaps missing here: {counted(len(names), 'damaged run')} of which "
            f"it is not known to which row they belong ({shown}{more}). `normbench check{option}` "
            "names the files."
        )


def _matters(board: Board, entry: Entry) -> bool:
    """Whether the results that a row lacks keep it from its verdict."""
    reference, compared = board.reference.row, entry.comparison
    if reference is None or compared is None:
        return True
    return lacks_results(entry.row, reference, compared)


def _about_divergence(board: Board) -> Iterator[str]:
    diverged = [entry for entry in board.entries if entry.row.diverged]
    if diverged and board.primary:
        yield (
            f"Diverged seeds count with the worst score, {board.metric.worst:g}: "
            f"{_each(board, diverged, _diverged)}."
        )
    lost = [entry for entry in board.entries if entry.n and len(entry.row.diverged) == entry.n]
    if lost:
        rows = counted(len(lost), "row")
        yield f"Every seed diverged in {rows}: {_each(board, lost, lambda _: '')}."
    calm = [entry.n for entry in board.entries if entry.n >= LEAST_FOR_INTERVAL]
    if calm and min(calm) < 10:
        bound = divergence_bound(min(calm))
        yield (
            f"Where none of {min(calm)} seeds diverged, up to {100 * bound:.0f} % of all seeds may "
            "(95 % bound)."
        )


def _about_machines(board: Board) -> Iterator[str]:
    provenance = board.provenance
    if len(provenance.hardware) > 1:
        kinds = ", ".join(f"{x} ({counted(n, 'run')})" for x, n in provenance.hardware.items())
        yield f"Times are left out: the runs were trained on different hardware: {kinds}."
    if len(provenance.versions) > 1:
        kinds = "; ".join(f"{x} ({counted(n, 'run')})" for x, n in provenance.versions.items())
        yield f"The runs were trained with different versions: {kinds}."


def _each(board: Board, entries: Sequence[Entry], words: Callable[[Entry], str]) -> str:
    """Return the names of rows as the table has them, each with what *words* say of it."""
    named = (f"{board.name_of(entry.row)} {words(entry)}".rstrip() for entry in entries[:_SHOWN])
    return "; ".join(named) + (
        f"; and {counted(len(entries) - _SHOWN, 'row')} more" if len(entries) > _SHOWN else ""
    )


def _missing(entry: Entry) -> str:
    return f"has {entry.n} of {entry.planned}"


def _dated(entry: Entry) -> str:
    return str(entry.row.dated)


def _left_out(entry: Entry) -> str:
    return seed_list(entry.comparison.left_out if entry.comparison else ())


def _diverged(entry: Entry) -> str:
    return f"{len(entry.row.diverged)} of {entry.planned}"


def other_metric(name: str) -> str:
    """Return what is to be said of a metric that a problem is not judged by."""
    return (
        f"{name} is not what this problem is judged by: it has no smallest difference of interest "
        "and no worst score, so that diverged seeds have no value."
    )


def seed_list(seeds: Sequence[int]) -> str:
    """Return seeds as ranges, such as ``0-4, 7``."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and parts[-1][-1] == seed - 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
