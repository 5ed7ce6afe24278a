"""``normbench describe``: all there is to know about a name, whatever kinds of thing carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from normbench.cli import complete, fields, output
from normbench.cli.listing import BUILT_IN, offered_twice, record
from normbench.cli.options import Invocation, common_options, json_option
from normbench.errors import UnknownNameError, UsageError, unknown_name
from normbench.plugins import KINDS, Catalogue, Offer

_SECTIONS = ("network", "norm", "ablation")


@dataclass(frozen=True)
class Inquiry:
    """What a user asked to be described.

    Attributes:
        kind: Kind of component; empty for every kind.
        name: Its name.
        words: ``NAME=VALUE`` changes to a problem's network.
        norm: Another norm for a problem.
        sites: Mask of norm sites.
    """

    kind: str
    name: str
    words: tuple[str, ...] = ()
    norm: str | None = None
    sites: str | None = None

    @property
    def changes_network(self) -> bool:
        """Whether anything but a plain description was asked for."""
        return bool(self.words or self.norm or self.sites)


@click.command("describe")
@click.argument(
    "terms",
    nargs=-1,
    required=True,
    metavar="[KIND] NAME",
    shell_complete=complete.names_of(*KINDS),
)
@click.option(
    "--norm", metavar="NAME", shell_complete=complete.norms, help="Norm at a problem's sites."
)
@click.option("--sites", metavar="MASK", help="Norm sites that carry it, such as 0,0,1,1,1.")
@json_option
@common_options()
@click.pass_obj
def command(
    invocation: Invocation,
    terms: tuple[str, ...],
    norm: str | None,
    sites: str | None,
    as_json: bool,
) -> None:
    """Show all there is to know about a name.

    KIND (dataset, network, problem, norm, optimizer, protocol, launcher, observer, suite) is
    needed only to leave other kinds of the same name out. For a problem the network is built, and
    its norm sites and parameter groups are shown; words such as network.bias=always or
    norm.num_groups=4 change it.
    """
    inquiry = _inquiry(terms, norm, sites)
    catalogue = invocation.catalogue
    offers = _matching(catalogue, inquiry)
    views = [_network(offer, inquiry, catalogue) for offer in offers]
    if as_json:
        output.print_json(
            [
                {**record(offer, catalogue), **({"built": view} if view else {})}
                for offer, view in zip(offers, views, strict=True)
            ]
        )
        return
    for position, (offer, view) in enumerate(zip(offers, views, strict=True)):
        if position:
            click.echo()
        _print_offer(offer, catalogue)
        if view:
            _print_network(view)


def _inquiry(terms: Sequence[str], norm: str | None, sites: str | None) -> Inquiry:
    words = tuple(term for term in terms if "=" in term)
    names = [term for term in terms if "=" not in term]
    for word in words:
        section = word.partition(".")[0] if "." in word.partition("=")[0] else word
        if section not in _SECTIONS:
            raise UsageError(
                f"unexpected word {word!r}: expected network.NAME=VALUE, norm.NAME=VALUE or "
                "ablation.NAME=VALUE."
            )
    if len(names) not in (1, 2):
        raise UsageError(f"expected [KIND] NAME, but got {' '.join(terms)!r}.")
    kind = names[0] if len(names) == 2 else ""
    if kind and kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    return Inquiry(kind, names[-1], words, norm, sites)


def _matching(catalogue: Catalogue, inquiry: Inquiry) -> list[Offer]:
    """Return all offers of that name.

    Raises:
        UsageError: If there are none, or a network is to be changed and no problem is among them.
    """
    kinds = [inquiry.kind] if inquiry.kind else list(KINDS)
    offers = [offer for kind in kinds for offer in catalogue.offers(KINDS[kind])]
    matching = [offer for offer in offers if offer.component.name == inquiry.name]
    if not matching and inquiry.kind:
        catalogue.get(KINDS[inquiry.kind], inquiry.name)
    if not matching:
        known = sorted({offer.component.name for offer in offers})
        said = unknown_name("name", inquiry.name, known)
        raise UnknownNameError.of("name", inquiry.name, str(said))
    if inquiry.changes_network and all(offer.component.kind != "problem" for offer in matching):
        raise UsageError(
            f"{inquiry.name!r} is no problem, and only a problem takes --norm, --sites and words."
        )
    return matching


def _network(offer: Offer, inquiry: Inquiry, catalogue: Catalogue) -> dict[str, Any]:
    """Return the built network of a problem; nothing for other kinds or an ambiguous name."""
    if offer.component.kind != "problem" or offered_twice(offer, catalogue):
        return {}
    from normbench.cli.network_view import view_network

    return view_network(
        catalogue, inquiry.name, norm=inquiry.norm, sites=inquiry.sites, words=inquiry.words
    )


def _print_offer(offer: Offer, catalogue: Catalogue) -> None:
    component = offer.component
    click.echo(f"{component.kind} {component.name} (version {component.version})")
    output.print_text(component.summary, first="  ", rest="  ")
    click.echo()
    source = component.source
    origin = "" if offer.origin == BUILT_IN else f"plugin {offer.plugin} ({offer.origin})"
    twice = "yes: disable one of the plugins before use" if offered_twice(offer, catalogue) else ""
    output.print_fields(
        {
            "source": source.title,
            "reference": source.reference,
            "licence": source.licence,
            "deviations": "\n".join(source.deviations),
            "from": origin,
            "offered twice": twice,
            **fields.of(component),
        }
    )
    for title, columns, rows in fields.tables(component, catalogue.settings()):
        click.echo()
        output.print_table(columns, rows, title=title)


def _print_network(view: dict[str, Any]) -> None:
    click.echo()
    output.print_table(
        ("site", "layer", "kind", "features", "norm", "scale invariance of the weight"),
        [
            (
                str(site["index"]),
                site["layer"],
                site["kind"],
                str(site["features"]),
                site["norm"] or "-",
                site["scale_invariance"] or "-",
            )
            for site in view["sites"]
        ],
        title=f"norm sites, with norm {view['norm']}",
        right=("site", "features"),
    )
    click.echo()
    output.print_table(
        ("role", "tensors", "numbers", "trained", "L2 coefficient"),
        [
            (
                group["role"],
                str(group["tensors"]),
                f"{group['numbers']:,}".replace(",", " "),
                "yes" if group["trained"] else "no",
                output.shown(group["weight_decay"]),
            )
            for group in view["parameter_groups"]
        ],
        title=f"parameters: {view['parameter_count']:,}".replace(",", " "),
        right=("tensors", "numbers", "L2 coefficient"),
    )
