"""Overrides: the words of a command line and of a YAML file, sorted into sections.

Bare words (``lr=0.02``) are the optimizer's; others carry a prefix (``protocol.epochs=100``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from normbench.errors import UsageError, unknown_name
from normbench.rules import Rules
from normbench.specs import FIRST_TUNING_SEED

SECTIONS = ("optimizer", "problem", "network", "norm", "ablation", "protocol")
OPTIONS = ("norm", "protocol", "ablation", "sites", "seeds", "setting_of")
_SUITE_KEYS = frozenset(
    ("problems", "norms", "ablations", "optimizers", "protocols", "grids", "include", "exclude")
)


@dataclass
class Overrides:
    """What words and file say.

    Attributes:
        options: Values of options of the command line, such as ``norm`` and ``seeds``.
        sections: Values by section and name, unchecked.
    """

    options: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {section: {} for section in SECTIONS}
    )

    def put(self, name: str, value: Any) -> None:
        """File the value of a dotted or bare *name*.

        Raises:
            UsageError: If the section does not exist.
        """
        section, dot, rest = name.partition(".")
        if not dot:
            self.sections["optimizer"][name] = value
        elif section in SECTIONS:
            self.sections[section][rest] = parse_mask(value) if rest == "sites" else value
        else:
            raise unknown_name("section", section, SECTIONS)


def read_overrides(config: Path | None, words: Sequence[str]) -> Overrides:
    """Return what the file and the words say together, words winning.

    Raises:
        UsageError: If the file cannot be read, or a word is none.
    """
    overrides = Overrides()
    if config is not None:
        try:
            _take_file(overrides, config)
        except UsageError as error:
            raise UsageError(f"config file {config}: {error}") from None
    for word in words:
        name, equals, _ = word.partition("=")
        if not equals or not name:
            raise UsageError(f"unexpected word {word!r}: expected NAME=VALUE, such as lr=0.02.")
        overrides.put(name, _value(word))
    return overrides


def _value(word: str) -> Any:
    """Return the value of ``NAME=VALUE`` in the type that YAML gives it."""
    name, _, text = word.partition("=")
    if not text.strip():
        raise UsageError(
            f"{word!r}: its value is missing. Expected NAME=VALUE, such as lr=0.02; {name}=null "
            "stands for none."
        )
    try:
        # What refers to something else may come to another value next time.
        return _parsed(text) if "${" in text else deepcopy(_remembered(text))
    except (OmegaConfBaseException, YAMLError) as error:
        raise UsageError(f"the word {word!r} could not be read: {error}.") from None


@lru_cache(maxsize=4096)
def _remembered(text: str) -> Any:
    """Return the same as :func:`_parsed`; suites say the same words thousands of times."""
    return _parsed(text)


def _parsed(text: str) -> Any:
    """Return the value that YAML reads in *text*."""
    parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=True)
    return parsed["value"] if isinstance(parsed, dict) else None


def _take_file(overrides: Overrides, path: Path) -> None:
    """File the options, sections and bare words of a YAML file."""
    content = read_yaml(path)
    if lists := [str(key) for key in content if key in _SUITE_KEYS]:
        raise UsageError(
            f"it is a suite, since it has {lists[0]}. Run its cells with: normbench suite run "
            f"{path}"
        )
    for key, value in content.items():
        name = str(key)
        if isinstance(value, dict):
            if name not in SECTIONS:
                raise unknown_name("section", name, SECTIONS)
            _take_section(overrides, name, value)
        elif name in OPTIONS:
            overrides.options[name] = value
        elif name in ("problem", "optimizer"):
            raise UsageError(
                f"{name}: {value} does not belong here. Name the {name} on the command line: "
                "normbench run PROBLEM OPTIMIZER --config FILE"
            )
        else:
            overrides.put(name, value)


def _take_section(overrides: Overrides, section: str, values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        if key == "name" and section in OPTIONS:
            overrides.options[section] = value
        else:
            overrides.put(f"{section}.{key}", value)


def read_yaml(path: Path) -> Mapping[Any, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        UsageError: If it cannot be read, or holds none.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise UsageError("it does not exist. Give an existing file.") from None
    except MarkedYAMLError as error:
        raise UsageError(f"it cannot be read: {_in_a_line(error)}. Mend its YAML.") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UsageError(
            f"it is not text in UTF-8: its byte {error.start + 1} is {byte:#x}. "
            "Expected YAML in UTF-8: check that it is the right file, or save it so."
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"it cannot be read: {reason}. Give a YAML file.") from None
    except (OmegaConfBaseException, YAMLError) as error:
        raise UsageError(
            f"it cannot be read: {' '.join(str(error).split())}. Expected YAML."
        ) from None
    if not isinstance(content, dict) or _is_prose(content):
        raise UsageError("it holds no mapping: expected lines NAME: VALUE.")
    return content


def _is_prose(content: Mapping[Any, Any]) -> bool:
    """Whether a file was one sentence, which OmegaConf takes for a key without a value."""
    return len(content) == 1 and all(
        value is None and " " in str(key) for key, value in content.items()
    )


def _in_a_line(error: MarkedYAMLError) -> str:
    """Return where a YAML file stops being one, and why."""
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    parts = filter(None, (error.context, error.problem))
    return place + ", ".join(" ".join(part.split()) for part in parts)


def parse_mask(given: object) -> tuple[int, ...] | None:
    """Read a mask of norm sites such as ``0,0,1,1,1`` or a list of digits; null is none.

    Raises:
        UsageError: If it holds anything but 0, 1 and commas.
    """
    if given is None:
        return None
    items = given if isinstance(given, list | tuple) else _digits(str(given))
    digits = [str(item).strip() for item in items]
    if not digits or any(digit not in ("0", "1") for digit in digits):
        raise UsageError(
            f"--sites {given!r} is no mask: expected one 0 or 1 for each norm site, separated by "
            "commas, such as 0,0,1,1,1."
        )
    return tuple(int(digit) for digit in digits)


def _digits(text: str) -> list[str]:
    return text.split(",") if "," in text else list(text.strip())


def parse_seeds(given: object) -> int | list[int] | None:
    """Read ``--seeds``: a number of seeds, or a list of them; null is the protocol's number.

    Raises:
        UsageError: If it is neither.
    """
    if given is None:
        return None
    items = given if isinstance(given, list | tuple) else str(given).split(",")
    is_list = isinstance(given, list | tuple) or len(items) > 1
    try:
        # A comma at the end makes a list of one: 7,
        numbers = [int(str(item)) for item in items if str(item) or item is not items[-1]]
    except ValueError:
        raise UsageError(
            f"--seeds {given!r}: expected a number of seeds, or seeds such as 3,7,9 (one seed: 7,)."
        ) from None
    return numbers if is_list else numbers[0]


def chosen_seeds(given: object, rules: Rules) -> list[int]:
    """Return the seeds to run: the protocol's, so many from its first, or the list itself.

    Raises:
        UsageError: If there are none, one is negative, or one is kept for tuning.
    """
    seeds = parse_seeds(given)
    if not isinstance(seeds, list):
        count = rules.seeds if seeds is None else seeds
        if count < 1:
            raise UsageError(f"--seeds {count} asks for no run: expected at least 1.")
        if count >= FIRST_TUNING_SEED:
            raise UsageError(
                f"--seeds {count} asks for so many runs: expected fewer than {FIRST_TUNING_SEED}, "
                "from where on seeds are kept for tuning. One seed alone has a comma: 7,"
            )
        seeds = list(range(rules.first_seed, rules.first_seed + count))
    if not seeds:
        raise UsageError("--seeds names no seed: expected a number, or seeds such as 3,7,9.")
    for seed, count in Counter(seeds).items():
        if count > 1:
            raise UsageError(
                f"--seeds names seed {seed} more than once: expected each once, since a seed is "
                "one run."
            )
        if seed < 0:
            raise UsageError(f"seed {seed} is negative: expected seeds from 0.")
        if seed >= FIRST_TUNING_SEED:
            raise UsageError(
                f"seed {seed} is kept for tuning: expected seeds below {FIRST_TUNING_SEED}."
            )
    return list(seeds)
