"""``normbench completion``: the script that teaches a shell our commands and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from normbench.cli.options import common_options
from normbench.errors import NormbenchError

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@common_options()
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a shell completion script.

    \b
    bash:  echo 'eval "$(normbench completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(normbench completion zsh)"' >> ~/.zshrc
    fish:  normbench completion fish > ~/.config/fish/completions/normbench.fish
    """  # noqa: D301 - click's mark for lines to be left as they are
    completion = get_completion_class(shell)
    if completion is None:
        raise NormbenchError(f"this version of click offers no completion for {shell}.")
    click.echo(completion(ctx.find_root().command, {}, "normbench", "_NORMBENCH_COMPLETE").source())
