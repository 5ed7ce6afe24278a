"""From the seconds of the rounds to the figures of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from normbench.bench.contender import Contender
from normbench.bench.report import BenchRow, Check, Speed, Spread
from normbench.bench.timing import Times
from normbench.bench.yardsticks import TunedRow


@dataclass(frozen=True)
class Measured:
    """What the rounds of one row took.

    Attributes:
        row: Which.
        trained: Examples that each of its runs trains on in an epoch.
        repeats: Epochs in a turn of training.
        training: Those turns.
        evaluation: The turns of evaluation, one each.
    """

    row: Contender
    trained: int
    repeats: int
    training: Times
    evaluation: Times

    @property
    def training_seconds(self) -> list[float]:
        """Of an epoch, in each round."""
        return [seconds / self.repeats for seconds in self.training.seconds]

    @property
    def training_speeds(self) -> list[float]:
        """Examples a second that all its runs together train on, in each round."""
        return [self._examples / seconds for seconds in self.training_seconds]

    @property
    def end_to_end_speeds(self) -> list[float]:
        """The same with the evaluations of the epoch."""
        pairs = zip(self.training_seconds, self.evaluation.seconds, strict=True)
        return [self._examples / (training + evaluation) for training, evaluation in pairs]

    @property
    def evaluation_share(self) -> float:
        """Seconds evaluated over all."""
        pairs = zip(self.training_seconds, self.evaluation.seconds, strict=True)
        return median(evaluation / (training + evaluation) for training, evaluation in pairs)

    @property
    def joules(self) -> float | None:
        """For an epoch and its evaluations; None where no meter answers."""
        pairs = zip(self.training.joules, self.evaluation.joules, strict=True)
        found = [training / self.repeats + evaluation for training, evaluation in pairs]
        return median(found) if found else None

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
