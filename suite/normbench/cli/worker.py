"""``normbench worker``: its words are those of ``python -m normbench.worker``.

They are parsed there, since machines that only train have no click.
"""

from __future__ import annotations

import click


@click.command(
    "worker",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Train pending runs under any scheduler."""
    from normbench.worker import main

    return main(arguments)
