"""``normbench worker``: what launchers start; its options are those of ``normbench.worker``."""

from __future__ import annotations

import click


@click.command(
    "worker",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Train pending runs of a store."""
    from normbench.worker import main

    return main(arguments)
