"""Commands as processes: what is imported, what is printed, and how they exit."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from normbench.cli import group, main
from normbench.cli.group import COMMANDS, CommandGroup, cli
from normbench.cli.options import Invocation
from normbench.errors import NormbenchError, UsageError

HEAVY = ("torch", "mlflow", "omegaconf", "matplotlib", "numpy", "scipy", "sklearn", "rich")

NORMBENCH = (sys.executable, "-c", "from normbench.cli import main; main()")


def normbench(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user would."""
    return subprocess.run(
        [*NORMBENCH, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def imported(*words: str) -> set[str]:
    """Return which of the heavy packages a command has imported when it ends."""
    code = (
        "import sys\nfrom normbench.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1].replace("'", '"')))


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("list",),
        ("list", "problems"),
        ("list", "--json"),
        ("describe", "optimizer", "sgd"),
        ("run", "--help"),
        ("plot", "-h"),
        ("completion", "zsh"),
    ],
    ids=" ".join,
)
def test_quick_commands_import_nothing_heavy(words):
    """Commands that only look up names import neither torch nor any other slow package."""
    assert set() == imported(*words)


def test_status_imports_nothing_heavy(filler):
    """Status reads a store with the standard library alone."""
    filler.ended("finished", 2)

    assert set() == imported("status", "--store", str(filler.root))


def test_help_names_every_visible_command(invoke):
    """The help page has a line for each command of the table but the hidden ones."""
    lines = {line.split()[0]: line for line in invoke("--help").stdout.splitlines() if line.strip()}

    for name, entry in COMMANDS.items():
        assert entry.hidden is (name not in lines)
        assert entry.hidden or lines[name].endswith(entry.summary)


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_commands_own(name):
    """The line in the table is the first sentence of the command's help."""
    entry = COMMANDS[name]
    command = CommandGroup().get_command(click.Context(CommandGroup()), name)

    assert name == command.name
    assert entry.summary == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("path", [(), ("run",), ("suite",), ("suite", "run"), ("worker",)])
def test_help_has_a_short_name(invoke, path):
    """-h prints what --help prints, for each command and group."""
    assert invoke(*path, "--help").stdout == invoke(*path, "-h").stdout != ""


def test_every_option_has_a_help_text():
    """No option is left unexplained."""
    group = CommandGroup()
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        options = [p for p in command.params if isinstance(p, click.Option)]

        assert [] == [option.name for option in options if not option.help]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("lst",), 2, "error: unknown command 'lst'. Did you mean 'list'?"),
        (("list", "norm"), 2, "Did you mean 'norms'?"),
        (("suite", "descibe"), 2, "unknown suite command 'descibe'. Did you mean 'describe'?"),
        (("deepobs", "raed"), 2, "unknown deepobs command 'raed'. Did you mean 'read'?"),
        (("list", "--jso"), 2, "--json"),
        (("describe",), 2, "Missing argument"),
        (("status", "--watch", "never"), 2, "'never'"),
        (("status", "--store", "/nowhere/at/all"), 2, "there is no run store at /nowhere/at/all"),
        (("run", "digits_cnn_b", "sgd"), 2, "Did you mean 'digits_cnn_bn'?"),
        (("run", "digits_cnn_bn", "sdg"), 2, "Did you mean 'sgd'?"),
        (("run", "digits_cnn_bn", "sgd", "--norm", "batchnorm"), 2, "Did you mean 'batch_norm'?"),
        (("run", "digits_cnn_bn", "sgd", "--protocol", "quik"), 2, "Did you mean 'quick'?"),
        (("run", "digits_cnn_bn", "sgd", "lr=1", "lr=2"), 2, "lr=1 and lr=2: lr is given twice"),
        (("suite", "run", "x.yaml", "lr=1", "optimizer.lr=1"), 2, "lr is given twice. Leave one"),
        (("list", "--plugin", "/no/such/file.py"), 2, "/no/such/file.py does not exist"),
        (
            ("list", "--log-file", "/proc/nowhere/log"),
            2,
            "there is no folder /proc/nowhere. Make it",
        ),
        (("list", "--log-file", "/proc/version"), 2, "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_exits_with_2_and_one_message(invoke, words, code, message):
    """Wrong words end in exit code 2 and one message with the nearest name, never a traceback."""
    done = invoke(*words)

    assert code == done.exit_code
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def failing(error: BaseException) -> CommandGroup:
    """Return a group whose command ``list`` raises *error*."""

    class Failing(CommandGroup):
        def get_command(self, ctx, cmd_name):
            @click.command(cmd_name)
            @click.option("-v", "verbose", is_flag=True)
            @click.pass_obj
            def command(invocation, verbose):
                invocation.verbose = int(verbose)
                invocation.resume_hint = " Go on with: normbench resume"
                raise error

            return command

    return Failing()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("wrong"), 2, "error: wrong\n"),
        (NormbenchError("broken"), 1, "error: broken\n"),
        (
            ValueError("two\nlines"),
            1,
            "error: unexpected ValueError: two (add -v to see where it comes from)\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: the output cannot be written: No space left on device. Send it elsewhere.\n",
        ),
        (KeyboardInterrupt(), 130, "\ninterrupted. Go on with: normbench resume\n"),
    ],
    ids=["usage", "known", "unexpected", "full", "interrupted"],
)
def test_errors_become_exit_codes(error, code, message):
    """Each sort of error has its exit code and is printed as one message."""
    done = CliRunner().invoke(failing(error), ["list"])

    assert code == done.exit_code
    assert message == done.stderr


def test_traceback_of_an_unexpected_error_with_v():
    """With -v an unexpected error is printed with its traceback."""
    done = CliRunner().invoke(failing(ValueError("why")), ["list", "-v"])

    assert 1 == done.exit_code
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("ValueError: why\n")


def test_installed_command_exits_with_its_code():
    """The process leaves with the exit code, and errors do not mix with the output."""
    done = normbench("describe", "no_such_thing")

    assert 2 == done.returncode
    assert "" == done.stdout
    assert done.stderr.startswith("error: unknown name 'no_such_thing'.")


def test_version_is_the_distributions():
    """The version printed is the installed one."""
    from importlib.metadata import version

    assert f"normbench, version {version('normbench')}\n" == normbench("--version").stdout


def test_no_command_prints_the_help():
    """Without a command the help page is printed, and the exit code says that one was missing."""
    done = normbench()

    assert 2 == done.returncode
    assert "Usage: normbench" in done.stderr


def test_closed_pipe_ends_quietly():
    """A reader that goes away early ends the command without a traceback."""
    process = subprocess.Popen(
        [*NORMBENCH, "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate()

    assert (1, b"") == (process.returncode, errors)


def test_interrupt_while_the_command_line_is_imported(monkeypatch, capsys):
    """It ends in one line and exit code 130."""

    def interrupt(**_words):
        raise KeyboardInterrupt

    monkeypatch.setattr("normbench.cli.group.cli", interrupt)
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit, match="130"):
        main()

    assert "interrupted.\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "busy"),
    [
        ("tune digits_cnn_bn sgd", "normbench.overrides.parse_seeds"),
        ("suite run digits_factorial", "normbench.cli.suite.expanded"),
        ("suite tune digits_factorial", "normbench.cli.suite_tune.expanded"),
        ("verify precision digits_cnn_bn", "normbench.verification.plan_here"),
        ("resume", "normbench.cli.options.Invocation.open_store"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_goes_on_is_printed_from_the_start(monkeypatch, tmp_path, words, busy, number):
    """Interrupted before anything is resolved it prints the command, as it does while runs train.

    It does so whatever signals come meanwhile.
    """
    complain = group._complain
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(*_arguments, **_words):
        os.kill(os.getpid(), number)

    def interrupted(message):
        interrupt()
        complain(message)

    monkeypatch.setattr(busy, interrupt)
    monkeypatch.setattr(group, "_complain", interrupted)
    typed = [*words.split(), "--store", str(tmp_path / "s")]
    done = CliRunner().invoke(cli, typed)

    assert (130, f"\ninterrupted. Go on with: normbench {' '.join(typed)}\n") == (
        done.exit_code,
        done.stderr,
    )
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


def test_interrupt_while_watching(filler):
    """Ctrl-C ends a command that waits with exit code 130."""
    filler.pending()
    process = subprocess.Popen(
        [*NORMBENCH, "status", "--store", str(filler.root), "--watch", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the table is printed, so the command waits now or will at once
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert errors.strip() == "interrupted."


DESCRIBE = (sys.executable, "-m", "normbench", "describe", "sgd")


def test_reader_that_leaves_early_is_no_error():
    """What is piped into something like head ends without a word when that has enough."""
    done = subprocess.Popen(DESCRIBE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done.stdout.close()
    said = done.stderr.read()
    done.stderr.close()

    assert (1, b"") == (done.wait(60), said)


def test_characters_that_a_terminal_lacks_are_shown_by_number():
    """A Greek letter on a terminal for Western Europe ends no command."""
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(DESCRIBE, capture_output=True, env=latin, timeout=60)

    assert (0, b"") == (done.returncode, done.stderr)
    assert rb"learning rate \u03b7" in done.stdout


def test_the_command_that_goes_on_is_as_it_was_typed(monkeypatch, tmp_path):
    """Options keep their form and order; the store is added where the line names none."""
    monkeypatch.delenv("NORMBENCH_STORE", raising=False)
    monkeypatch.setenv("NORMBENCH_DATA", "/data")
    monkeypatch.chdir(tmp_path)
    words = ("run", "p", "o", "--time-limit", "2h", "--observe", "a b", "--", "lr=1")
    typed = Invocation(arguments=words)
    named = Invocation(arguments=("resume", "--store=x", "--memory-limit", "4G"), store=Path("x"))

    assert typed.again() == (
        "normbench run p o --time-limit 2h --observe 'a b' "
        f"--store {tmp_path}/normbench-runs -- lr=1"
    )
    assert f"normbench resume --store={tmp_path}/x --memory-limit 4G" == named.again()


@pytest.mark.parametrize("variable", [False, True])
def test_the_command_that_goes_on_does_the_same_in_another_folder(
    invoke, monkeypatch, tmp_path, variable
):
    """Suite, store, data and log are where they were, typed or from the environment."""
    typed = ["suite", "run", "mine.yaml", "--log-file=log.txt", "lr=0.1"]
    (tmp_path / "mine.yaml").write_text("{problem: quadratic_deep, optimizer: sgd}")
    if not variable:
        typed += ["--store", "NORMBENCH_STORE", "--data-dir", "NORMBENCH_DATA"]
    for name in ("NORMBENCH_STORE", "NORMBENCH_DATA"):
        monkeypatch.setenv(name, name if variable else "/unused")
    monkeypatch.chdir(tmp_path)
    given = {} if variable else {"store": Path("NORMBENCH_STORE"), "data_dir": Path("N")}
    again = shlex.split(Invocation(arguments=tuple(typed), **given).again())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = invoke(*again[1:], "--enqueue", "--seeds", 1)

    paths = {str(tmp_path / name) for name in ("mine.yaml", "NORMBENCH_STORE", "NORMBENCH_DATA")}
    assert {*paths, f"--log-file={tmp_path}/log.txt"} == {w for w in again if str(tmp_path) in w}
    assert 0 == done.exit_code, done.stderr
    assert (tmp_path / "NORMBENCH_STORE" / "runs").is_dir()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("busy", ["normbench.api.launch", "normbench.planning.plan"])
def test_an_interrupted_run_prints_its_own_command(monkeypatch, tmp_path, busy):
    """What limits, launches and observes a run is in the command that goes on, from the start."""

    def interrupt(*_arguments, **_words):
        raise KeyboardInterrupt

    monkeypatch.setattr(busy, interrupt)
    options = ["--memory-limit", "4G", "--time-limit", "2h", "--observe", "activations"]
    words = ["run", "digits_cnn_bn", "sgd", *options, "--store", str(tmp_path / "s")]
    done = CliRunner().invoke(cli, words)

    assert 130 == done.exit_code
    assert f"Go on with: normbench {' '.join(words)}\n" in done.stderr
