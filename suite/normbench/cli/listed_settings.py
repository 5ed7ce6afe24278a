"""``normbench list settings``: which hyper-parameters are known, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import click

from normbench.cli import output
from normbench.cli.fields import SETTING_COLUMNS, setting_cells
from normbench.descriptions import Problem, Setting
from normbench.errors import not_together, unknown_name
from normbench.plugins import Catalogue
from normbench.quantities import counted

_MOST = 20
_NAMES: Mapping[str, Callable[[Setting], str]] = {
    "problem": lambda setting: setting.problem,
    "norm": lambda setting: setting.norm,
    "optimizer": lambda setting: setting.optimizer,
    "protocol": lambda setting: setting.protocol,
    "origin": lambda setting: setting.origin,
}


def chosen_settings(catalogue: Catalogue, terms: Sequence[str]) -> list[Setting]:
    """Return the known settings that have the names of all *terms*.

    Args:
        catalogue: What there is.
        terms: Words ``NAME=VALUE``; a value may be several names, separated by commas.

    Raises:
        UsageError: If a word is none of these, or no setting has its name.
    """
    everything = list(catalogue.settings())
    found, before = everything, list[str]()
    for term in terms:
        name, _, value = term.partition("=")
        if name not in _NAMES:
            raise unknown_name("word for settings", name, _NAMES)
        known = {_NAMES[name](each) for each in found}
        wanted = {
            _base(each, catalogue) if name == "problem" else each for each in value.split(",")
        }
        for each in sorted(wanted - known):
            if each in {_NAMES[name](setting) for setting in everything}:
                raise not_together("known setting", before, f"{name}={each}", known)
            raise unknown_name(f"{name} of known settings", each, known)
        found = [each for each in found if _NAMES[name](each) in wanted]
        before.append(term)
    return found


def _base(problem: str, catalogue: Catalogue) -> str:
    """Return the problem by whose name settings of *problem* are known."""
    there = problem in catalogue.names(Problem)
    return (catalogue.get(Problem, problem).base or problem) if there else problem


def print_settings(catalogue: Catalogue, terms: Sequence[str]) -> None:
    """Print the settings that *terms* choose; without any, of many their numbers.

    Raises:
        UsageError: If a term is wrong.
    """
    settings = chosen_settings(catalogue, terms)
    full = settings if terms or len(settings) <= _MOST else _own(settings)
    _print_full(full)
    rest = [each for each in settings if each not in full]
    if rest:
        click.echo("\n" if full else "", nl=False)
        _print_numbers(rest)
    click.echo(f"\n{counted(len(settings), 'setting')}.")
    if rest:
        click.echo("In full: normbench list settings --problem NAME --optimizer NAME norm=NAME")


def _own(settings: Iterable[Setting]) -> list[Setting]:
    """Return the settings that were tuned in the store."""
    return [each for each in settings if each.origin == "known"]


def _print_full(settings: Sequence[Setting]) -> None:
    if not settings:
        return
    sources = list(dict.fromkeys(setting.source for setting in settings))
    rows = [
        (*setting_cells(each), each.origin, f"[{sources.index(each.source) + 1}]")
        for each in settings
    ]
    output.print_table((*SETTING_COLUMNS, "origin", "source"), rows)
    for number, source in enumerate(sources, 1):
        output.print_text(source, first=f"[{number}] ", rest="    ")


def _print_numbers(settings: Sequence[Setting]) -> None:
    """Print how many settings each problem has by each protocol."""
    groups: dict[tuple[str, str], list[Setting]] = {}
    for each in settings:
        groups.setdefault((each.problem, each.protocol), []).append(each)
    rows = [
        (*key, _names(members, "norm"), _names(members, "optimizer"), str(len(members)))
        for key, members in sorted(groups.items())
    ]
    headings = ("problem", "protocol", "norms", "optimizers", "settings")
    output.print_table(headings, rows, right=("settings",))


def _names(settings: Iterable[Setting], name: str, most: int = 3) -> str:
    """Return which norms or optimizers *settings* are of; of many the number."""
    found = sorted({_NAMES[name](each) for each in settings})
    return ", ".join(found) if len(found) <= most else counted(len(found), name)
