"""The commands that ask for a cell or its tuning, for messages and for the record of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.parameters import Value, typed
from normbench.resolve import Request

if TYPE_CHECKING:
    from pathlib import Path

    from normbench.tuning.plan import Tuning


def request_words(request: Request) -> list[str]:
    """Return the arguments of ``normbench run`` and ``normbench tune`` that ask for *request*."""
    sites = None if request.sites is None else ",".join(map(str, request.sites))
    config = None if request.config is None else str(request.config.absolute())
    options = {
        "--norm": request.norm,
        "--sites": sites,
        "--ablation": request.ablation,
        "--protocol": request.protocol,
        "--seeds": _seeds(request.seeds),
        "--config": config,
    }
    given = [word for name, value in options.items() if value for word in (name, value)]
    return [request.problem, request.optimizer, *request.words, *given]


def tune_words(tuning: Tuning, plugin_files: Sequence[Path]) -> list[str]:
    """Return the command that asks for *tuning*, but for the store and for how to launch."""
    defaults = type(tuning)(request=tuning.request)
    numbers = ("method", "trials", "draw_seed", "tuning_seeds")
    words = ["normbench", "tune", *request_words(tuning.request)]
    for name in numbers:
        if getattr(tuning, name) != getattr(defaults, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(tuning, name))]
    words += [word for search in tuning.search for word in ("--search", search)]
    words += ["--skip-failed"] if tuning.skip_failed else []
    words += [] if tuning.evaluate else ["--no-evaluate"]
    return [*words, *plugin_words(plugin_files)]


def run_words(request: Request, plugin_files: Sequence[Path]) -> list[str]:
    """Return the command that trains *request*, but for the store and for how to launch."""
    return ["normbench", "run", *request_words(request), *plugin_words(plugin_files)]


def plugin_words(files: Sequence[Path]) -> list[str]:
    """Return the options that load one-off *files*."""
    return [word for file in files for word in ("--plugin", str(file))]


def trial_words(values: Mapping[str, Value]) -> tuple[str, ...]:
    """Return *values* as the words that set them."""
    return tuple(
        f"{word}=[{typed(value)}]" if isinstance(value, tuple) else f"{word}={typed(value)}"
        for word, value in values.items()
    )


def cell_words(values: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the words of those *values* that are not the optimizer's, such as of the norm."""
    return trial_words({word: value for word, value in values.items() if "." in word})


def _seeds(seeds: int | Sequence[int] | None) -> str | None:
    if seeds is None or isinstance(seeds, int):
        return None if seeds is None else str(seeds)
    # A comma at the end makes a list of one.
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")
