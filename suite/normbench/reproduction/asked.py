"""What a report was asked for, and the command lines that repeat it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from normbench.suites.files import ENDINGS

_UNFIT = re.compile(r"[^A-Za-z0-9=.,+_]+")
_MOST_LETTERS = 100


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The words of a request for a report.

    Attributes:
        suite: Name or file of the suite.
        words: Words that hold for every cell.
        only: What ``--only`` chose.
        seeds: What ``--seeds`` said; empty for the suite's own.
        plugins: Files of one-off plugins.
        store: Folder of the store as it was given; empty for the default one.
        source: Where results are read, if not in the store.
    """

    suite: str
    words: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seeds: str = ""
    plugins: tuple[str, ...] = ()
    store: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """The suite's name; of a file that without folders and ending."""
        return Path(self.suite).stem if self.suite.endswith(ENDINGS) else self.suite

    @property
    def folder(self) -> str:
        """Name of the folder for the report: the suite's, with what else was asked for."""
        words = [*self.words, *self.only, *([f"seeds={self.seeds}"] if self.seeds else [])]
        whole = "-".join([f"report-{Path(self.suite).stem}", *(_UNFIT.sub("_", w) for w in words)])
        if len(whole) <= _MOST_LETTERS:
            return whole
        return f"{whole[:_MOST_LETTERS]}-{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}"

    def train(self, problem: str = "") -> str:
        """Return the command that trains what is missing, and nothing that is there.

        Args:
            problem: Only of this problem; empty for all.
        """
        return self._line("suite", "run", self.suite, *self.words, *self._chosen(problem))

    def observe(self) -> str:
        """Return the command that records what figures by site and by depth are made of."""
        names = ("norm_parameters", "activations", "spheres")
        observers = [word for name in names for word in ("--observe", name)]
        return self._line("suite", "run", self.suite, *self.words, *self._chosen(), *observers)

    def status(self) -> str:
        """Return the command that shows how far each cell is."""
        return self._line("suite", "status", self.suite, *self.words, *self._chosen())

    def report(self, more: Sequence[str] = (), without: Sequence[str] = ()) -> str:
        """Return the command that makes this report, with *more* words and *without* others.

        Nothing, if words to leave out are not among those that were given.
        """
        if not set(without) <= set(self.words):
            return ""
        words = [*(word for word in self.words if word not in without), *more]
        source = ["--source", self.source] if self.source else []
        return self._line("report", self.suite, *words, *self._chosen(), *source)

    def prepare(self, problems: Sequence[str]) -> str:
        """Return the command that fetches and checks the data of *problems*."""
        plugins = [word for file in self.plugins for word in ("--plugin", file)]
        return shlex.join(["normbench", "prepare", *problems, *plugins])

    def _chosen(self, problem: str = "") -> list[str]:
        kept = [each for each in self.only if not problem or not each.startswith("problem=")]
        wanted = [*kept, *([f"problem={problem}"] if problem else [])]
        only = [word for each in wanted for word in ("--only", each)]
        return [*only, *(["--seeds", self.seeds] if self.seeds else [])]

    def _line(self, *words: str) -> str:
        plugins = [word for file in self.plugins for word in ("--plugin", file)]
        store = ["--store", self.store] if self.store else []
        return shlex.join(["normbench", *words, *plugins, *store])
