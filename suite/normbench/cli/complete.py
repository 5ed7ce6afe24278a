"""Completion of names in the shell, from the catalogue; imports neither torch nor mlflow."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(*kinds: str) -> Completer:
    """Return a callback that completes the names of all components of *kinds*."""

    def complete(
        ctx: click.Context,  # noqa: ARG001 - click's signature
        parameter: click.Parameter,  # noqa: ARG001
        incomplete: str,
    ) -> list[CompletionItem]:
        from normbench.plugins import KINDS, load_catalogue

        catalogue = load_catalogue()
        return [
            CompletionItem(offer.component.name, help=offer.component.summary)
            for kind in kinds
            for offer in catalogue.offers(KINDS[kind])
            if offer.component.name.startswith(incomplete)
        ]

    return complete


problems = names_of("problem")
optimizers = names_of("optimizer")
norms = names_of("norm")
protocols = names_of("protocol")
launchers = names_of("launcher")
