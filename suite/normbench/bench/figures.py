"""From the seconds of the rounds to the figures of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from normbench.bench.contender import Contender
from normbench.bench.report import BenchRow, Check, Speed, Spread
from normbench.bench.yardsticks import TunedRow


@dataclass(frozen=True)
class Measured:
    """What the rounds of one row took.

    Attributes:
        row: Which.
        trained: Examples that each of its runs trains on in an epoch.
        repeats: Epochs in a turn.
        training: Seconds of those turns, in which it trains and does nothing else.
        whole: Seconds of the turns in which it does as many epochs end to end.
        joules: For one of these epochs; None where no meter answers.
    """

    row: Contender
    trained: int
    repeats: int
    training: Sequence[float]
    whole: Sequence[float]
    joules: float | None = None

    @property
    def training_seconds(self) -> list[float]:
        """Of an epoch, in each round."""
        return [seconds / self.repeats for seconds in self.training]

    @property
    def end_to_end_seconds(self) -> list[float]:
        """Of an epoch with all that belongs to it, in each round."""
        return [seconds / self.repeats for seconds in self.whole]

    @property
    def training_speeds(self) -> list[float]:
        """Examples a second that all its runs together train on, in each round."""
        return [self._examples / seconds for seconds in self.training_seconds]

    @property
    def end_to_end_speeds(self) -> list[float]:
        """The same end to end."""
        return [self._examples / seconds for seconds in self.end_to_end_seconds]

    @property
    def evaluation_share(self) -> float:
        """Seconds of an epoch in which it does not train, over all; 0 where chance says less."""
        pairs = zip(self.training, self.whole, strict=True)
        return max(0.0, median(1 - training / whole for training, whole in pairs))

    @property
    def _examples(self) -> int:
        return self.trained * self.row.members


def rows_of(
    measured: Sequence[Measured], checks: Mapping[str, Sequence[Check]], fastest: float
) -> list[BenchRow]:
    """Return the rows of a report.

    Args:
        measured: The rows, the yardstick first.
        checks: Of each row, by name.
        fastest: Examples a second that the device would allow.
    """
    first = measured[0]
    tuned = next((each for each in measured if isinstance(each.row, TunedRow)), None)
    return [
        BenchRow(
            name=each.row.name,
            end_to_end=speed(
                each.end_to_end_speeds,
                first.end_to_end_speeds,
                tuned.end_to_end_speeds if tuned else None,
            ),
            training=speed(
                each.training_speeds,
                first.training_speeds,
                tuned.training_speeds if tuned else None,
            ),
            evaluation_share=each.evaluation_share,
            roof_share=median(each.training_speeds) / fastest,
            joules=each.joules,
            checks=checks[each.row.name],
        )
        for each in measured
    ]


def speed(
    own: Sequence[float], first: Sequence[float], tuned: Sequence[float] | None = None
) -> Speed:
    """Return a speed from the examples a second of each round, and those of the yardsticks."""
    return Speed(
        examples_per_second=median(own),
        ratio=_over(own, first),
        tuned_ratio=None if tuned is None else _over(own, tuned),
    )


def _over(own: Sequence[float], base: Sequence[float]) -> Spread:
    return Spread.of([speed / other for speed, other in zip(own, base, strict=True)])
