"""Augmentation words, such as ``pad_crop:4``: what is done to training images. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normbench.errors import UsageError

WORDS = "pad_crop:PIXELS, flip, colour_jitter, random_resized_crop"
FITTING = {
    "images": ("pad_crop", "flip", "colour_jitter"),
    "files": ("random_resized_crop", "flip"),
}


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Attributes:
        pad: Zero pixels added on each side before a random crop back to the original size.
        flip: Mirror left-right with probability 1/2.
        colour_jitter: DeepOBS's change of brightness, contrast and saturation.
        resized_crop: A random part of 8 to 100 % of the area of an image file, at most 4:3 or 3:4,
            resized; without it the centre, as in evaluation.
    """

    pad: int = 0
    flip: bool = False
    colour_jitter: bool = False
    resized_crop: bool = False

    @classmethod
    def parse(cls, words: Sequence[str]) -> Augmentation:
        """Read augmentation words in any order; images are cropped, flipped, then coloured.

        Raises:
            UsageError: If a word is unknown or its number does not fit.
        """
        pad, flip, jitter, resized = 0, False, False, False
        for word in words:
            name, _, number = word.partition(":")
            if name == "pad_crop" and number.isdecimal() and int(number) > 0:
                pad = int(number)
            elif word == "flip":
                flip = True
            elif word == "colour_jitter":
                jitter = True
            elif word == "random_resized_crop":
                resized = True
            else:
                raise UsageError(f"unknown augmentation {word!r}: expected words among {WORDS}.")
        return cls(pad, flip, jitter, resized)

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order in which they are applied."""
        words = (
            (f"pad_crop:{self.pad}", self.pad > 0),
            ("random_resized_crop", self.resized_crop),
            ("flip", self.flip),
            ("colour_jitter", self.colour_jitter),
        )
        return tuple(word for word, on in words if on)

    def unfit(self, content: str) -> tuple[str, ...]:
        """Return the words that cannot be applied to a dataset of this *content*."""
        fitting = FITTING.get(content, ())
        return tuple(word for word in self.words if word.partition(":")[0] not in fitting)
