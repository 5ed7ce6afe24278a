"""``normbench check-plugin``: check a plugin against the contracts, and tell its author."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from normbench.cli import output
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_text, styled
from normbench.descriptions import Component
from normbench.errors import PluginError, UsageError, unknown_name
from normbench.garbage import uncollected
from normbench.plugins import KINDS, Catalogue, PluginInfo, load_catalogue
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.testing import Finding


@click.command("check-plugin")
@click.argument("plugin", metavar="PACKAGE|FILE")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Check only what has this name; may be repeated."
)
@click.option("--skip", multiple=True, metavar="CHECK", help="Leave a check out; may be repeated.")
@json_option
@common_options(data=True)
@click.pass_obj
def command(
    invocation: Invocation, plugin: str, only: tuple[str, ...], skip: tuple[str, ...], as_json: bool
) -> int:
    """Check what a plugin offers against normbench's contracts.

    PACKAGE is an installed distribution or the name of its entry point; FILE is a one-off plugin.
    Norms, optimizers, networks, datasets and problems are checked. What fails is told to the
    plugin's author: what was seen, what is expected, what to change. -v lists every check.
    """
    from normbench.places import data_folder

    with uncollected():
        from normbench.testing import check_components

    catalogue, components = offered(plugin, invocation)
    chosen = _chosen(components, only)
    folder = data_folder(invocation.data_dir)
    results = []
    for findings in check_components(chosen, catalogue, folder, skip):
        results.extend(findings)
        if not as_json:
            _print_progress(findings, all_checks=invocation.verbose > 0)
    unchecked = _unchecked(chosen)
    if as_json:
        output.print_json({"plugin": plugin, "findings": results, "unchecked": unchecked})
    else:
        _print_end(results, unchecked)
    return 1 if any(finding.outcome == "failed" for finding in results) else 0


def offered(plugin: str, invocation: Invocation) -> tuple[Catalogue, list[Component]]:
    """Return a catalogue that holds *plugin*, and what it offers.

    Raises:
        UsageError: If there is no such plugin, or it could not be loaded.
    """
    path = Path(plugin)
    if path.suffix == ".py" or path.is_file():
        catalogue = load_catalogue((*invocation.plugin_files, path))
        names = {(catalogue.plugins[-1].name, "file")}
    else:
        catalogue = invocation.catalogue
        names = {(info.name, info.origin) for info in _installed(plugin, catalogue)}
    offers = [offer for kind in KINDS.values() for offer in catalogue.offers(kind)]
    return catalogue, [o.component for o in offers if (o.plugin, o.origin) in names]


def _installed(plugin: str, catalogue: Catalogue) -> list[PluginInfo]:
    """Return the plugins of that name, or of the distribution of that name."""
    wanted = _same_name(plugin)
    found = [
        info
        for info in catalogue.plugins
        if wanted in (_same_name(info.name), _same_name(info.origin.partition(" ")[0]))
    ]
    if not found:
        known = {info.name for info in catalogue.plugins}
        raise UsageError(
            f"{unknown_name('plugin', plugin, known)} A plugin that is not installed is given as "
            "its FILE.py."
        )
    for info in found:
        if info.error:
            raise PluginError(f"plugin {info.name} ({info.origin}) cannot be loaded: {info.error}")
    return found


def _same_name(name: str) -> str:
    """Return *name* as package indexes compare names, so that a package's module finds it too."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _chosen(components: Sequence[Component], only: Sequence[str]) -> list[Component]:
    names = {component.name for component in components}
    for wrong in only:
        if wrong not in names:
            raise unknown_name("offer of the plugin", wrong, names)
    return [component for component in components if not only or component.name in only]


def _unchecked(components: Sequence[Component]) -> list[str]:
    from normbench.testing import is_checked

    return [f"{one.kind} {one.name}" for one in components if not is_checked(one)]


def _print_progress(findings: Sequence[Finding], *, all_checks: bool) -> None:
    """Print a line for a component, and what failed in it."""
    counts = Counter(finding.outcome for finding in findings)
    tally = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    click.echo(f"{findings[0].kind} {findings[0].name}: {tally}")
    for finding in findings:
        if finding.outcome == "failed":
            _print_failure(finding)
        elif all_checks:
            reason = f" ({finding.message})" if finding.message else ""
            print_text(f"{finding.outcome} {finding.check}{reason}", first="  ", rest="    ")
    if not all_checks:
        skipped = Counter(each.message for each in findings if each.outcome == "skipped")
        for reason, count in skipped.items():
            print_text(_skipped(count, reason), first="  ", rest="    ")


def _skipped(count: int, reason: str) -> str:
    return f"skipped {counted(count, 'check')}: {reason or 'as asked'}; -v names them"


def _print_failure(finding: Finding) -> None:
    click.echo(styled(f"  failed {finding.check}", fg="red"))
    print_text(finding.fact, first="    ", rest="    ")
    for word, sentence in (
        ("seen", finding.message),
        ("expected", finding.expected),
        ("change", finding.change),
    ):
        print_text(sentence, first=f"    {word:<9} ", rest=" " * 14)


def _print_end(results: Sequence[Finding], unchecked: Sequence[str]) -> None:
    if unchecked:
        click.echo(f"without checks: {', '.join(unchecked)}")
    failed = sum(finding.outcome == "failed" for finding in results)
    if failed:
        click.echo(f"{failed} of {len(results)} checks failed")
    else:
        click.echo(f"nothing failed in {len(results)} checks" if results else "nothing to check")
