"""``normbench ui``: MLflow's web page on a store."""

from __future__ import annotations

import click
from click.core import ParameterSource

from normbench.cli.options import Invocation, common_options


@click.command("ui")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5000,
    show_default=True,
    help="Port to listen on; where none is given and this is taken, the next free one.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@common_options(store=True)
@click.pass_context
def command(ctx: click.Context, host: str, port: int, no_browser: bool) -> None:
    """Open MLflow's web page on a store.

    It opens on the leaderboard that was published last (normbench leaderboard --publish), else on
    the runs, and serves until Ctrl-C.
    """
    invocation: Invocation = ctx.obj
    store = invocation.open_store()
    from normbench.tracking import serve

    typed = ctx.get_parameter_source("port") is not ParameterSource.DEFAULT
    serve(store, host=host, port=port, only=typed, open_browser=not no_browser)
