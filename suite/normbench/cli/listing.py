"""``normbench list``: what the plugins offer, in tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from normbench.cli import complete, output
from normbench.cli.listed_settings import chosen_settings, print_settings
from normbench.cli.options import Invocation, common_options, json_option
from normbench.descriptions import Component
from normbench.errors import UsageError, unknown_name
from normbench.plugins import KINDS, Catalogue, Offer
from normbench.quantities import counted

PLUGINS = "plugins"
SETTINGS = "settings"
BUILT_IN = "built-in"
PLURALS: Mapping[str, str] = {f"{kind}s": kind for kind in KINDS}
_LISTS = (*PLURALS, SETTINGS, PLUGINS)
_NUMBERS = ("train", "test", "classes", "batch", "epochs", "weight decay", "seeds", "download")


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    return [plural for plural in _LISTS if plural.startswith(incomplete)]


@click.command("list")
@click.argument("what", required=False, shell_complete=_complete)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--problem", shell_complete=complete.problems, help="Only settings of this problem.")
@click.option(
    "--optimizer", shell_complete=complete.optimizers, help="Only settings of this optimizer."
)
@json_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    what: str | None,
    words: Sequence[str],
    as_json: bool,
    **options: str | None,
) -> None:
    """List what plugins offer.

    WHAT is datasets, networks, problems, norms, optimizers, protocols, launchers, observers,
    suites, publications, settings (known ones, those tuned in the store first) or plugins; without
    it, the names of all. Of many settings their numbers are shown; --problem, --optimizer and words
    such as norm=group_norm or protocol=deepobs choose those that are shown in full.
    """
    catalogue = invocation.catalogue
    terms = [*words, *(f"{name}={value}" for name, value in options.items() if value)]
    if terms and what != SETTINGS:
        raise UsageError(
            f"{' '.join(terms)}: only settings are chosen by words: normbench list settings "
            f"{' '.join(terms)}"
        )
    chosen = (*PLURALS, PLUGINS) if what is None else (what,)
    if what is not None and what not in _LISTS:
        raise unknown_name("list", what, _LISTS)
    if as_json:
        records = {plural: _records(catalogue, plural, terms) for plural in chosen}
        output.print_json(records if what is None else records[what])
    elif what is None:
        _print_overview(catalogue)
    elif what == PLUGINS:
        _print_plugins(catalogue)
    elif what == SETTINGS:
        print_settings(catalogue, terms)
    else:
        _print_kind(catalogue, what)


def _records(catalogue: Catalogue, plural: str, terms: Sequence[str]) -> list[Any]:
    """Return what ``--json`` shows of one kind."""
    if plural == PLUGINS:
        return [output.plain(plugin) for plugin in catalogue.plugins]
    if plural == SETTINGS:
        return [output.plain(setting) for setting in chosen_settings(catalogue, terms)]
    kind = KINDS[PLURALS[plural]]
    return [record(offer, catalogue) for offer in catalogue.offers(kind)]


def record(offer: Offer, catalogue: Catalogue) -> dict[str, Any]:
    """Return all that one offer says of itself, for JSON."""
    return {
        "kind": offer.component.kind,
        **output.plain(offer.component),
        "plugin": offer.plugin,
        "origin": offer.origin,
        "offered_twice": offered_twice(offer, catalogue),
    }


def offered_twice(offer: Offer, catalogue: Catalogue) -> bool:
    """Whether another plugin offers the same name, so that it cannot be used."""
    kind = type(offer.component)
    names = [other.component.name for other in catalogue.offers(KINDS[kind.kind])]
    return names.count(offer.component.name) > 1


def _print_overview(catalogue: Catalogue) -> None:
    for plural, kind in PLURALS.items():
        names = catalogue.names(KINDS[kind])
        click.echo(f"{plural} ({len(names)})")
        if names:
            output.print_text(", ".join(names), first="  ", rest="  ")
    _print_failures(catalogue)
    click.echo("\nMore: normbench list problems, normbench describe NAME")


def _print_failures(catalogue: Catalogue) -> None:
    for plugin in catalogue.plugins:
        if plugin.error:
            click.echo(f"plugin {plugin.name} ({plugin.origin}) failed to load: {plugin.error}")


def _print_plugins(catalogue: Catalogue) -> None:
    rows = [
        (
            plugin.name,
            plugin.origin,
            f"failed: {plugin.error}" if plugin.error else _offered_by(catalogue, plugin.name),
        )
        for plugin in catalogue.plugins
    ]
    output.print_table(("plugin", "origin", "offers"), rows)


def _offered_by(catalogue: Catalogue, plugin: str) -> str:
    counts = {
        kind: sum(offer.plugin == plugin for offer in catalogue.offers(KINDS[kind]))
        for kind in PLURALS.values()
    }
    return ", ".join(counted(count, kind) for kind, count in counts.items() if count)


def _print_kind(catalogue: Catalogue, plural: str) -> None:
    kind = PLURALS[plural]
    details = _DETAILS[kind]
    rows = []
    for offer in catalogue.offers(KINDS[kind]):
        mark = " (offered twice)" if offered_twice(offer, catalogue) else ""
        origin = "" if offer.origin == BUILT_IN else f"{offer.plugin}, {offer.origin}"
        cells = details(offer.component)
        rows.append(
            (f"{offer.component.name}{mark}", *cells.values(), offer.component.summary, origin)
        )
    if not rows:
        click.echo(f"no {plural}")
        return
    columns = (kind, *cells, "summary", "from")
    output.print_table(columns, rows, right=_NUMBERS, names=())


def _parameters(component: Component) -> dict[str, str]:
    return {"parameters": _joined(parameter.name for parameter in component.parameters)}


def _joined(words: Any) -> str:
    return ", ".join(words)


def _dataset(dataset: Any) -> dict[str, str]:
    return {
        "content": dataset.content,
        "shape": "×".join(str(length) for length in dataset.shape),
        "classes": str(dataset.classes or ""),
        "train": str(dataset.train_size),
        "test": str(dataset.test_size),
        "download": output.size(dataset.download_size) if dataset.download_size else "",
    }


def _problem(problem: Any) -> dict[str, str]:
    return {
        "dataset": problem.dataset,
        "network": problem.network,
        "norm": problem.norm,
        "batch": str(problem.training.batch_size),
        "epochs": str(problem.training.epochs),
        "weight decay": output.shown(problem.training.weight_decay),
        "metric": problem.metric.name,
    }


def _norm(norm: Any) -> dict[str, str]:
    return {"sites": _joined(norm.site_kinds), **_parameters(norm)}


def _optimizer(optimizer: Any) -> dict[str, str]:
    traits = {
        "decoupled weight decay": optimizer.decoupled_weight_decay,
        "closure": optimizer.needs_closure,
        "averaged weights": optimizer.averages_weights,
    }
    return {
        **_parameters(optimizer),
        "traits": _joined(trait for trait, holds in traits.items() if holds),
    }


def _protocol(protocol: Any) -> dict[str, str]:
    rules = protocol.rules
    return {
        "version": str(protocol.version),
        "seeds": str(rules.seeds),
        "schedule": rules.schedule,
        "reports": f"{rules.select} epoch",
    }


def _observer(observer: Any) -> dict[str, str]:
    series = (measure.name for measure in observer.measures if not measure.fixed)
    return {**_parameters(observer), "series": _joined(series)}


_DETAILS: Mapping[str, Callable[[Any], dict[str, str]]] = {
    "dataset": _dataset,
    "network": _parameters,
    "problem": _problem,
    "norm": _norm,
    "optimizer": _optimizer,
    "protocol": _protocol,
    "launcher": _parameters,
    "observer": _observer,
    "suite": lambda suite: {"source": suite.source.reference},
    "publication": lambda publication: {"source": publication.source.reference},
}
