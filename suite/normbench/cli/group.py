"""The command group: its table of commands, their lazy import, and what an error looks like."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.options import Invocation
from normbench.errors import DamagedFileError, NormbenchError, UsageError, unknown_name
from normbench.launchers.signals import shielded

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes:
        target: ``module:attribute`` of the click command.
        summary: Its line in ``normbench --help``.
        hidden: Whether the line is left out.
    """

    target: str
    summary: str
    hidden: bool = False


COMMANDS: Mapping[str, Entry] = {
    "run": Entry(
        "normbench.cli.run:command", "Train PROBLEM with OPTIMIZER, one run for each seed."
    ),
    "suite": Entry(
        "normbench.cli.suite:command",
        "Train or show a whole set of cells.",
    ),
    "tune": Entry(
        "normbench.cli.tune:command", "Look for the best setting of OPTIMIZER on PROBLEM."
    ),
    "studies": Entry(
        "normbench.cli.studies:command", "Show the studies of a store, or one of them in full."
    ),
    "plan": Entry(
        "normbench.cli.plan:command", "Say what a suite or a request will take and can show."
    ),
    "list": Entry("normbench.cli.listing:command", "List what plugins offer."),
    "describe": Entry("normbench.cli.describe:command", "Show all there is to know about a name."),
    "status": Entry("normbench.cli.status:command", "Show how far the runs of a store are."),
    "check": Entry(
        "normbench.cli.check:command",
        "Read all runs of a store and name the files that are damaged.",
    ),
    "resume": Entry("normbench.cli.resume:command", "Continue the unfinished runs of a store."),
    "cancel": Entry(
        "normbench.cli.cancel:command", "Keep runs from being trained, or stop a launch."
    ),
    "leaderboard": Entry(
        "normbench.cli.leaderboard:command",
        "Show who is better, by how much, and if it could be chance.",
    ),
    "compare": Entry("normbench.cli.compare:command", "Compare the rows A and B in depth."),
    "norms": Entry(
        "normbench.cli.ablations:norms", "Compare norms within each optimizer and over all of them."
    ),
    "optimizers": Entry(
        "normbench.cli.ablations:optimizers",
        "Compare optimizers within each norm and over all of them.",
    ),
    "report": Entry(
        "normbench.cli.report:command", "Write a report on a suite: ours and what is published."
    ),
    "plot": Entry("normbench.cli.plot:command", "Draw a figure of the runs in a store."),
    "prepare": Entry("normbench.cli.prepare:command", "Fetch and check the data of problems."),
    "sync": Entry("normbench.cli.sync:command", "Bring MLflow up to date with a store."),
    "ui": Entry("normbench.cli.ui:command", "Open MLflow's web page on a store."),
    "bench": Entry(
        "normbench.cli.bench:command",
        "Time PROBLEM against a plain DataLoader loop in DeepOBS's shape.",
    ),
    "verify": Entry(
        "normbench.cli.verify:command",
        "Test whether a faster way of computing gives the same results.",
    ),
    "new-plugin": Entry(
        "normbench.cli.new_plugin:command", "Write a plugin package to start from."
    ),
    "deepobs": Entry(
        "normbench.cli.deepobs:command", "Read results of DeepOBS, or write ours in its form."
    ),
    "check-plugin": Entry(
        "normbench.cli.check_plugin:command",
        "Check what a plugin offers against normbench's contracts.",
    ),
    "completion": Entry("normbench.cli.completion:command", "Print a shell completion script."),
    "worker": Entry("normbench.cli.worker:command", "Train pending runs under any scheduler."),
}


class NamingGroup(click.Group):
    """A group that answers a name that it does not have with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* begin with.

        Raises:
            UsageError: If there is none of that name.
        """
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            path = ctx.command_path.partition(" ")[2]
            raise unknown_name(f"{path} command".lstrip(), args[0], self.visible(ctx))
        return super().resolve_command(ctx, args)

    def visible(self, ctx: click.Context) -> list[str]:
        """Return the names that are shown."""
        return self.list_commands(ctx)


class CommandGroup(NamingGroup):
    """A group that imports a command when it is used, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def visible(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the table that are not hidden."""
        return _visible()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in _visible()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing any, and the group's own options."""
        from click.shell_completion import CompletionItem

        names = [name for name in _visible() if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name].summary) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave the process with its exit code.

        With *standalone_mode* off, return its value or let its exception through instead.
        """
        invocation = extra.setdefault("obj", Invocation())
        invocation.arguments = tuple(sys.argv[1:] if args is None else args)

        def run() -> Any:
            return super(CommandGroup, self).main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if not standalone_mode:
            with invocation.to_the_end:
                return run()
        _write_what_can_be_shown()
        try:
            code = run()
        except BrokenPipeError:
            _silence_output()
            code = 1
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the user gets one message
            with shielded():
                code = _report(error, invocation)
        finally:
            invocation.to_the_end.close()
        sys.exit(code if isinstance(code, int) else 0)


def _visible() -> list[str]:
    return [name for name, entry in COMMANDS.items() if not entry.hidden]


def _report(error: Exception | KeyboardInterrupt, invocation: Invocation) -> int:
    """Print what went wrong and return the exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        said = str(error.__cause__ or "")
        jobs_go_on = "\n".join(filter(None, (f" {said}", invocation.afterwards)))
        _complain(f"interrupted.{jobs_go_on if said else invocation.resume_hint}")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.ClickException):
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        _complain(f"error: {error.format_message()}{f' See: {path} --help' if path else ''}")
        return error.exit_code
    if isinstance(error, NormbenchError):
        from normbench.cli.one_off import file_hint

        _complain(f"error: {error}{file_hint(error, invocation)}")
        return 2 if isinstance(error, UsageError | DamagedFileError) else 1
    return _report_unexpected(error, invocation)


def _report_unexpected(error: BaseException, invocation: Invocation) -> int:
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        _complain(f"error: the output cannot be written: {error.strerror}. Send it elsewhere.")
        return 1
    if invocation.verbose:
        _complain("".join(traceback.format_exception(error)).rstrip())
        return 1
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    _complain(f"error: unexpected {words} (add -v to see where it comes from)")
    return 1


def _complain(message: str) -> None:
    click.echo(message, err=True)


def _write_what_can_be_shown() -> None:
    """Let a terminal that lacks a character, such as a Greek one, show its number instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _silence_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="normbench", prog_name="normbench")
def cli() -> None:
    """Paired, resumable benchmarks of normalization layers and optimizers.

    `normbench COMMAND --help` explains a command; `normbench list` shows what there is to run.
    """
