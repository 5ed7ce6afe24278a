"""The options that commands share, and what they said in one invocation."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import logs

if TYPE_CHECKING:
    from normbench.plugins import Catalogue
    from normbench.store import RunStore

_F = TypeVar("_F", bound=Callable[..., Any])
_NUMBER = re.compile(r"\d*\.?\d+")
_FILES = (".yaml", ".yml", ".py")
_PATHS = ("--store", "--data-dir", "--plugin", "--config", "--log-file", "--report")


@dataclass
class Invocation:
    """What the shared options of one invocation said.

    Attributes:
        store: ``--store``; None for the default place.
        plugin_files: ``--plugin``.
        data_dir: ``--data-dir``; None for the default place.
        verbose: How often ``-v`` was given.
        log_file: ``--log-file``.
        arguments: The command line as it was typed, without the program's name.
        resume_hint: What to do after an interruption; set by commands that train.
        afterwards: What to do once jobs that go on by themselves have ended; set by commands that
            tune.
        to_the_end: What lasts until the last word is printed.
    """

    store: Path | None = None
    plugin_files: tuple[Path, ...] = ()
    data_dir: Path | None = None
    verbose: int = 0
    log_file: Path | None = None
    arguments: tuple[str, ...] = ()
    resume_hint: str = field(default="", init=False)
    afterwards: str = field(default="", init=False)
    to_the_end: ExitStack = field(default_factory=ExitStack, init=False)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Everything that the plugins offer, and the settings tuned in the store."""
        from normbench.plugins import load_catalogue

        return load_catalogue(self.plugin_files).with_store(self.store_path)

    @property
    def store_path(self) -> Path:
        """The folder of the run store."""
        from normbench.places import store_path

        return store_path(self.store)

    @property
    def store_option(self) -> str:
        """What names the store in a command to copy, a space before; empty for the default one."""
        return "".join(f" {shlex.quote(word)}" for word in self.store_words)

    @property
    def plugin_words(self) -> list[str]:
        """The options that load the same one-off files, by their whole paths."""
        files = (str(file.absolute()) for file in self.plugin_files)
        return [word for file in files for word in ("--plugin", file)]

    @property
    def store_words(self) -> list[str]:
        """The option that names the store, if it was typed."""
        return [] if self.store is None else ["--store", str(self.store)]

    @property
    def place_option(self) -> str:
        """What a command to copy ends with: store and one-off files, a space before each word."""
        return "".join(f" {shlex.quote(word)}" for word in (*self.store_words, *self.plugin_words))

    def again(self, doubled: Sequence[str] = ()) -> str:
        """Return the command line as it was typed, with the store where it names none.

        Whole paths stand in place of relative ones, so it does the same in any folder.

        Args:
            doubled: Options whose quantity is twice what was typed.
        """
        words = _anywhere(_doubled(self.arguments, doubled))
        end = words.index("--") if "--" in words else len(words)
        words[end:end] = self._places()
        return shlex.join(["normbench", *words])

    def _places(self) -> list[str]:
        """Return the options that name what was not typed, and what a relative variable says."""
        from normbench.places import DATA_VARIABLE

        data = Path(os.environ.get(DATA_VARIABLE) or os.sep)
        places = [] if self.store else ["--store", str(self.store_path.absolute())]
        if self.data_dir is None and not data.is_absolute():
            places += ["--data-dir", str(data.absolute())]
        return places

    def limited(self, options: Sequence[str]) -> bool:
        """Whether any of *options* was typed."""
        return _doubled(self.arguments, options) != list(self.arguments)

    def open_store(self) -> RunStore:
        """Open the run store, which must exist.

        Raises:
            UsageError: If there is none.
            StoreError: If it cannot be read.
        """
        from normbench.errors import UsageError
        from normbench.store import RunStore

        if not self.store_path.exists():
            raise UsageError(
                f"there is no run store at {self.store_path}. Give its folder with --store DIR or "
                "$NORMBENCH_STORE, or make one with: normbench run PROBLEM OPTIMIZER"
            )
        return RunStore.open(self.store_path)


def _doubled(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return *words* with twice the number of each of *options*, in its unit."""
    found = list(words)
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in options and equals:
            found[index] = f"{name}={_twice(value)}"
        elif name in options and index + 1 < len(words):
            found[index + 1] = _twice(words[index + 1])
    return found


def _twice(quantity: str) -> str:
    """Return a time or size twice as large; of a clock time such as 1:30:00 in seconds."""
    if ":" in quantity:
        from normbench.quantities import parse_seconds

        return f"{2 * parse_seconds(quantity):g}"
    return _NUMBER.sub(lambda number: f"{2 * float(number[0]):g}", quantity, count=1)


def _anywhere(words: Sequence[str]) -> list[str]:
    """Return *words* with the whole paths of the files and folders that they name."""
    return [_absolute(word, before) for before, word in zip(("", *words), words, strict=False)]


def _absolute(word: str, before: str) -> str:
    """Return *word* with the whole path, if it is one by the option *before* it or its ending."""
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    file = Path(value)
    if (name or before) in _PATHS and (equals or not name):
        return f"{name}{equals}{file.absolute()}"
    is_file = not name and file.suffix in _FILES and file.is_file()
    return str(file.absolute()) if is_file else word


def common_options(*, store: bool = False, data: bool = False) -> Callable[[_F], _F]:
    """Return a decorator that adds the shared options to a command.

    The command finds them in its :class:`Invocation` (``click.pass_obj``), and its log is set up
    before it starts.

    Args:
        store: Whether the command uses the run store.
        data: Whether the command uses data files.
    """
    options = [*(_STORE if store else ()), *(_DATA if data else ()), *_ALWAYS]

    def decorate(function: _F) -> _F:
        command: Any = _with_log(function)
        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[no-any-return]

    return decorate


def words_once(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001
    words: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the *words* of a command line, none of which may set what another one sets.

    Raises:
        UsageError: If two do.
    """
    from normbench.errors import UsageError

    found: dict[str, str] = {}
    for word in words:
        name = word.partition("=")[0].removeprefix("optimizer.")
        if "=" in word and name in found:
            raise UsageError(f"{found[name]} and {word}: {name} is given twice. Leave one out.")
        found[name] = word
    return words


def json_option(function: _F) -> _F:
    """Add ``--json``, passed to the command as *as_json*."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(
        function
    )


def _with_log(function: _F) -> _F:
    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        invocation = click.get_current_context().obj
        with logs.logging_to_terminal(invocation.verbose, invocation.log_file):
            return function(*args, **kwargs)

    return command  # type: ignore[return-value]


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store an option's value in the invocation."""
    if ctx.obj is not None and parameter.name is not None:
        setattr(ctx.obj, parameter.name, value)


def _option(*names: str, **details: Any) -> Callable[[_F], _F]:
    return click.option(*names, expose_value=False, callback=_keep, **details)


_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_STORE = (
    _option(
        "--store",
        type=_FOLDER,
        metavar="DIR",
        help="Run store; default $NORMBENCH_STORE, else ./normbench-runs.",
    ),
)
_DATA = (
    _option(
        "--data-dir",
        type=_FOLDER,
        metavar="DIR",
        help="Data folder; default $NORMBENCH_DATA, else the user's cache.",
    ),
)
_ALWAYS = (
    _option(
        "--plugin",
        "plugin_files",
        type=_FILE,
        multiple=True,
        metavar="FILE",
        help="Load a one-off plugin file; may be repeated.",
    ),
    _option("-v", "--verbose", count=True, help="Say more; -vv says everything."),
    _option("--log-file", type=_FILE, metavar="FILE", help="Append the log to FILE as well."),
)
