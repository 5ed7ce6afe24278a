"""Series: what an observer saw over a run, as arrays with named dimensions, in one ``.npz`` file.

Beside the observer's own arrays a file holds ``epoch`` and ``step``, both along ``moment``, and
``about``, a JSON text that names dimensions and units. The same moments give the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from normbench.descriptions import Measure
from normbench.errors import StoreError

Array = NDArray[Any]
MOMENT = "moment"
STEP, EPOCH, ABOUT = "step", "epoch", "about"
RESERVED = frozenset({STEP, EPOCH, ABOUT})
_CLOCKS = (
    Measure(name=EPOCH, dims=(), unit="epochs", summary="position in the run"),
    Measure(name=STEP, dims=(), unit="steps", summary="steps done"),
)


@dataclass
class Moments:
    """What an observer saw at some moments, in their order.

    Attributes:
        steps: Steps done at each.
        epochs: The same in epochs.
        arrays: For each array that changes, its values at each moment.
        fixed: The arrays that do not change.
        seconds: What it took to see them.
    """

    steps: list[int] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    arrays: dict[str, list[Array]] = field(default_factory=dict)
    fixed: dict[str, Array] = field(default_factory=dict)
    seconds: float = 0.0

    def add(
        self,
        step: int,
        epoch: float,
        arrays: Mapping[str, Array],
        measures: Iterable[Measure],
        seconds: float = 0.0,
    ) -> None:
        """Append one moment."""
        self.steps.append(step)
        self.epochs.append(epoch)
        self.seconds += seconds
        for measure in measures:
            if measure.fixed:
                self.fixed.setdefault(measure.name, arrays[measure.name])
            else:
                self.arrays.setdefault(measure.name, []).append(arrays[measure.name])

    def extend(self, later: Moments) -> None:
        """Append what was seen *later*."""
        self.steps += later.steps
        self.epochs += later.epochs
        self.seconds += later.seconds
        self.fixed = self.fixed or later.fixed
        for name, values in later.arrays.items():
            self.arrays.setdefault(name, []).extend(values)

    def until(self, step: int) -> Moments:
        """Return the moments up to and including *step*."""
        count = sum(seen <= step for seen in self.steps)
        arrays = {name: values[:count] for name, values in self.arrays.items()}
        return Moments(self.steps[:count], self.epochs[:count], arrays, self.fixed, self.seconds)

    def to_bytes(self, about: Mapping[str, Any] | None = None) -> bytes:
        """Return the moments, at least one, as an ``.npz`` file."""
        stream = io.BytesIO()
        arrays = {name: np.stack(values) for name, values in sorted(self.arrays.items())}
        more = {} if about is None else {ABOUT: np.array(json.dumps(about))}
        np.savez(
            stream,
            allow_pickle=False,
            **{EPOCH: np.array(self.epochs), STEP: np.array(self.steps, dtype=np.int64)},
            **dict(sorted(self.fixed.items())),
            **arrays,
            **more,
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, measures: Iterable[Measure]) -> Self:
        """Read what :meth:`to_bytes` returned."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            moments = cls(arrays[STEP].tolist(), arrays[EPOCH].tolist())
            for measure in measures:
                if measure.fixed:
                    moments.fixed[measure.name] = arrays[measure.name]
                else:
                    moments.arrays[measure.name] = list(arrays[measure.name])
        return moments


@dataclass(frozen=True)
class Series(Mapping[str, Array]):
    """The arrays of one observer over one run, by name.

    Attributes:
        arrays: The arrays; those that change have ``moment`` as their first dimension.
        dims: The names of each array's dimensions.
        units: The unit of each array; empty for pure numbers.
        summaries: What each array holds.
        parameters: What was asked of the observer, cadence included.
    """

    arrays: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]
    summaries: Mapping[str, str]
    parameters: Mapping[str, Any]

    def __getitem__(self, name: str) -> Array:
        """Return one array."""
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self.arrays)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.arrays)


def describe_series(
    observer: str, parameters: Mapping[str, Any], measures: Sequence[Measure]
) -> dict[str, Any]:
    """Return what a file says of itself."""
    return {
        "observer": observer,
        "parameters": dict(parameters),
        "arrays": {
            measure.name: {
                "dims": [*([] if measure.fixed else [MOMENT]), *measure.dims],
                "unit": measure.unit,
                "summary": measure.summary,
            }
            for measure in (*_CLOCKS, *measures)
        },
    }


def read_series(path: Path) -> Series:
    """Read a file of series.

    Raises:
        StoreError: If it cannot be read or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != ABOUT}
            about = json.loads(str(file[ABOUT]))
        described = about["arrays"]
        return Series(
            arrays={name: arrays[name] for name in described},
            dims={name: tuple(entry["dims"]) for name, entry in described.items()},
            units={name: entry["unit"] for name, entry in described.items()},
            summaries={name: entry["summary"] for name, entry in described.items()},
            parameters=about["parameters"],
        )
    except (OSError, BadZipFile, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} is no file of series that this version reads ({type(error).__name__}: "
            f"{error}). Delete it and ask for the series again."
        ) from error
