"""Augmentation words, such as ``pad_crop:4``: what is done to training images. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normbench.errors import UsageError

WORDS = "pad_crop:PIXELS, flip, colour_jitter"


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Attributes:
        pad: Zero pixels added on each side before a random crop back to the original size.
        flip: Mirror left-right with probability 1/2.
        colour_jitter: DeepOBS's change of brightness, contrast and saturation.
    """

    pad: int = 0
    flip: bool = False
    colour_jitter: bool = False

    @classmethod
    def parse(cls, words: Sequence[str]) -> Augmentation:
        """Read augmentation words in any order; images are cropped, flipped, then coloured.

        Raises:
            UsageError: If a word is unknown or its number does not fit.
        """
        pad, flip, jitter = 0, False, False
        for word in words:
            name, _, number = word.partition(":")
            if name == "pad_crop" and number.isdecimal() and int(number) > 0:
                pad = int(number)
            elif word == "flip":
                flip = True
            elif word == "colour_jitter":
                jitter = True
            else:
                raise UsageError(f"unknown augmentation {word!r}: expected words among {WORDS}.")
        return cls(pad, flip, jitter)

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order in which they are applied."""
        switched = ((f"pad_crop:{self.pad}", self.pad > 0), ("flip", self.flip))
        words = (*switched, ("colour_jitter", self.colour_jitter))
        return tuple(word for word, on in words if on)
