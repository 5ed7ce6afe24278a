"""Plugin packages to start from, written by ``normbench new-plugin`` from the templates here."""

from __future__ import annotations

from normbench.scaffold.package import KINDS, write_package

__all__ = ["KINDS", "write_package"]
