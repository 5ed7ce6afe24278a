"""``normbench new-plugin``: a package to start a norm, an optimizer or a problem from."""

from __future__ import annotations

from pathlib import Path

import click

from normbench.cli.options import Invocation, common_options
from normbench.errors import UsageError


@click.command("new-plugin")
@click.argument("name")
@click.option("--norm", is_flag=True, help="Write a normalization layer.")
@click.option("--optimizer", is_flag=True, help="Write an optimizer.")
@click.option("--problem", is_flag=True, help="Write a dataset, network and problem.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Folder to write the package into; default: this one.",
)
@common_options()
@click.pass_obj
def command(invocation: Invocation, /, name: str, to: Path, **kinds: bool) -> None:
    """Write a plugin package to start from.

    The package normbench-NAME offers NAME. It works as it is: it installs, passes its own tests
    and can be run by name. Change the code, the description beside it, and the tests.
    """
    from normbench.cli.group import COMMANDS
    from normbench.scaffold import KINDS, write_package

    chosen = [kind for kind in KINDS if kinds[kind]]
    if len(chosen) != 1:
        options = ", ".join(f"--{kind}" for kind in KINDS)
        raise UsageError(f"say what {name!r} is to be: expected one of {options}.")
    checks = "check-plugin" in COMMANDS
    folder = write_package(chosen[0], name, to, invocation.catalogue, checks=checks)
    click.echo(f"{folder}\nNext: pip install -e {folder} && pytest {folder}")
