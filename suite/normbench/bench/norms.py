"""Norms alone, forward and backward at one shape, against torch.nn's of the same name."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normbench.bench.report import Spread
from normbench.bench.timing import Turn, Work, take_turns
from normbench.descriptions import Norm
from normbench.engine.recording import RECORDERS
from normbench.environment import hardware_name
from normbench.errors import UsageError
from normbench.parameters import defaults
from normbench.plugins import Catalogue
from normbench.sites import Sites

SCHEMA = 1
KIND = "bench_norms"
SHAPE = (128, 64, 16, 16)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

# What torch.nn offers under the name of a norm, for C channels and that norm's default parameters.
TWINS: Mapping[str, Callable[[int, Mapping[str, Any]], nn.Module]] = {
    "batch_norm": lambda features, _: nn.BatchNorm2d(features),
    "group_norm": lambda features, given: nn.GroupNorm(given["num_groups"], features),
    "instance_norm": lambda features, _: nn.InstanceNorm2d(features, affine=True),
    "layer_norm": lambda features, _: nn.GroupNorm(1, features),
}


@dataclass(frozen=True, kw_only=True)
class NormRow:
    """One norm at the shape of the report, and torch.nn's of the same name where there is one.

    Attributes:
        name: Of the norm.
        seconds: Of one forward and backward pass, median over the rounds; None if it could not be
            captured.
        torch_seconds: The same of torch.nn's.
        ratio: torch.nn's seconds over this norm's; above 1 this one is faster.
        keeps_layout: Whether output and gradient are channels_last, as the input is.
        torch_keeps_layout: The same of torch.nn's.
        error: Largest difference of output and input gradient to this norm in float64, over the
            largest value of each.
        torch_error: Difference of torch.nn's to the same float64 values.
        not_captured: Why there are no times; empty where there are.
    """

    name: str
    seconds: float | None
    torch_seconds: float | None
    ratio: Spread | None
    keeps_layout: bool
    torch_keeps_layout: bool | None
    error: float
    torch_error: float | None
    not_captured: str = ""


@dataclass(frozen=True, kw_only=True)
class NormReport:
    """All norms of one call.

    Attributes:
        n: Rounds.
        conditions: Hardware, versions, shape, rounds.
        rows: The norms, by name.
    """

    n: int
    conditions: Mapping[str, Any]
    rows: Sequence[NormRow]
    kind: str = KIND
    schema: int = SCHEMA

    @property
    def left_out(self) -> Mapping[str, str]:
        """Norms that could not be captured, and why."""
        return {row.name: row.not_captured for row in self.rows if row.not_captured}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        content = asdict(self)
        return {name: content[name] for name in ("schema", "kind")} | content

    def ratios(self) -> dict[str, Spread]:
        """Return the ratio of every norm that torch.nn has, too."""
        return {f"{row.name}, over torch.nn": row.ratio for row in self.rows if row.ratio}


@dataclass(frozen=True)
class _Pass:
    """Input and gradient from above, channels_last, that every norm of a report gets."""

    inputs: Tensor
    above: Tensor

    def __call__(self, norm: nn.Module) -> tuple[Tensor, Tensor]:
        """Return output and input gradient; gradients of parameters are computed too."""
        outputs = norm(self.inputs)
        parameters = [each for each in norm.parameters() if each.requires_grad]
        gradient, *_ = torch.autograd.grad(outputs, (self.inputs, *parameters), self.above)
        return outputs.detach(), gradient

    def in_float64(self) -> _Pass:
        inputs, above = (each.detach().double() for each in (self.inputs, self.above))
        return _Pass(inputs.requires_grad_(), above)


def bench_norms(
    catalogue: Catalogue,
    device: torch.device,
    *,
    shape: Sequence[int] = SHAPE,
    precision: str = "fp32",
    names: Sequence[str] | None = None,
    rounds: int = 5,
) -> NormReport:
    """Measure norms with their default parameters on channels_last activations, in training.

    On CUDA a pass is captured in a graph, so that the kernels count and not their launches.

    Args:
        catalogue: Where the norms are.
        device: Where they run.
        shape: (N, C, H, W).
        precision: ``fp32`` or ``bf16``, the dtype of the activations.
        names: Of the norms; all that act on activations after a convolution if None.
        rounds: Turns of each; the median counts.

    Raises:
        UsageError: If shape or precision is none, or a norm that is named does nothing to
            activations.
    """
    work = _given(shape, precision, device)
    rows = [
        _row(name, module, twin, work, rounds)
        for name, module, twin in _modules(catalogue, device, shape[1], names)
    ]
    told = conditions(device, shape, precision, rounds)
    return NormReport(n=rounds, conditions=told, rows=rows)


def _given(shape: Sequence[int], precision: str, device: torch.device) -> _Pass:
    if len(shape) != 4 or min(shape) < 1:
        raise UsageError(
            f"the norms are timed at shape {tuple(shape)}: expected four whole numbers from 1, "
            "N, C, H and W, as in 128,64,16,16."
        )
    if precision not in DTYPES:
        raise UsageError(
            f"norms are not timed in precision {precision}: expected one of {', '.join(DTYPES)}."
        )
    generator = torch.Generator().manual_seed(0)
    layout, dtype = torch.channels_last, DTYPES[precision]
    inputs, above = (
        torch.randn(*shape, generator=generator).to(device, dtype, memory_format=layout)
        for _ in range(2)
    )
    return _Pass(inputs.requires_grad_(), above)


def _modules(
    catalogue: Catalogue, device: torch.device, features: int, names: Sequence[str] | None
) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """Yield name, module and torch.nn's twin of each norm that acts on activations."""
    found = names or [offer.component.name for offer in catalogue.offers(Norm)]
    for name in sorted(set(found)):
        described = catalogue.get(Norm, name)
        module = _module(described, features) if "conv" in described.site_kinds else nn.Identity()
        if not any(True for _ in module.parameters()):
            if names:
                raise UsageError(
                    f"norm {name} does nothing to the activations of a convolution by itself: "
                    "expected a norm that does. See `normbench list norms`."
                )
            continue
        twin = TWINS.get(name)
        given = defaults(described.parameters)
        yield (
            name,
            module.to(device).train(),
            None if twin is None else twin(features, given).to(device).train(),
        )


def _module(norm: Norm, features: int) -> nn.Module:
    """Return the pair at a convolution's site; the network's own activation is left out."""
    sites = Sites.for_norm(norm, defaults(norm.parameters))
    layer = nn.Conv2d(1, features, 1, bias=False)
    return nn.Sequential(*sites.after(layer, nn.Identity()))


def _row(name: str, norm: nn.Module, twin: nn.Module | None, work: _Pass, rounds: int) -> NormRow:
    modules = [norm] if twin is None else [norm, twin]
    exact = work.in_float64()(copy.deepcopy(norm).double())
    results = [work(copy.deepcopy(module)) for module in modules]
    seconds, reason = _seconds(modules, work, rounds)
    kept = [_keeps_layout(result) for result in results]
    errors = [_error(result, exact) for result in results]
    first, second = (statistics.median(each) if each else None for each in seconds)
    ratios = [theirs / ours for ours, theirs in zip(*seconds, strict=False)]
    return NormRow(
        name=name,
        seconds=first,
        torch_seconds=second,
        ratio=Spread.of(ratios) if ratios else None,
        keeps_layout=kept[0],
        torch_keeps_layout=kept[1] if twin else None,
        error=errors[0],
        torch_error=errors[1] if twin else None,
        not_captured=reason,
    )


def _seconds(
    modules: Sequence[nn.Module], work: _Pass, rounds: int
) -> tuple[tuple[list[float], list[float]], str]:
    """Return the seconds of a pass through a norm and through its twin, if it has one, per round.

    And why there are none, if one of them could not be captured.
    """
    try:
        turns = [Turn(_repeated(module, work)) for module in modules]
    except RuntimeError as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        return ([], []), words[0]
    passes = _REPEATS[work.inputs.device.type in RECORDERS]
    times = take_turns(turns, rounds, work.inputs.device)
    ours, *twins = ([seconds / passes for seconds in each] for each in times)
    return (ours, twins[0] if twins else []), ""


_REPEATS = {False: 1, True: 100}  # Passes in a turn, by whether they are captured


def _repeated(norm: nn.Module, work: _Pass) -> Work:
    """Return a turn of passes through *norm*; on CUDA replays of a captured one.

    Raises:
        RuntimeError: If a pass cannot be captured.
    """
    device = work.inputs.device
    if device.type not in RECORDERS:
        return lambda: work(norm)
    recorder = RECORDERS[device.type](device, ())
    with recorder.beside():
        for _ in range(3):
            work(norm)
    replay = recorder.capture(lambda: _do(work, norm))

    def turn() -> None:
        for _ in range(_REPEATS[True]):
            replay()

    return turn


def _do(work: _Pass, norm: nn.Module) -> None:
    work(norm)


def _keeps_layout(result: tuple[Tensor, Tensor]) -> bool:
    return all(each.is_contiguous(memory_format=torch.channels_last) for each in result)


def _error(result: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> float:
    return max(
        ((value.double() - true).abs().max() / true.abs().max()).item()
        for value, true in zip(result, exact, strict=True)
    )


def conditions(
    device: torch.device, shape: Sequence[int], precision: str, rounds: int
) -> dict[str, Any]:
    """Return what a report on norms is measured under."""
    return {
        "hardware": hardware_name(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "shape": list(shape),
        "layout": "channels_last",
        "precision": precision,
        "rounds": rounds,
        "passes": _REPEATS[device.type in RECORDERS],
        "clock": "events on the device" if device.type == "cuda" else "process CPU time",
    }
