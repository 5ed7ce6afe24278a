"""Whether a fast row computes what a plain loop does: from one point, and along some steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normbench.bench.report import Check
from normbench.engine.agreement import TOLERANCES, flat
from normbench.engine.precision import computed_in, configure, forward_context
from normbench.engine.randomness import Randomness
from normbench.engine.session import Session
from normbench.engine.sums import PendingSums
from normbench.layers import Stochastic, bind_generator
from normbench.tasks import Batch

RunEpoch = Callable[[int, Sequence[float]], Sequence[PendingSums]]
WARM_STEPS = 6
STEPS = 20
RATES = (1.0, 0.1)
ONE_STEP = "one step"
TRAJECTORY = "20 steps"


def after_one_step(session: Session, *, same_kernels: bool = True) -> Check:
    """Compare loss and gradient of one step with a plain loop's from the same weights and batch.

    The reference computes in float64 on the processor, elsewhere in float32 without TF32. Where an
    activation crosses the kink of a ReLU the gradient jumps, so a right one in float32 may be a
    percent from float64 in a deep network: a plain step in the run's own precision says how far,
    and twice that is allowed. A few steps come before, so that the rung has been decided.

    Args:
        session: A new one; it trains.
        same_kernels: Whether it must also agree with the plain step of its own precision.
    """
    run_steps(session, 1, [1.0] * min(WARM_STEPS, session.source.steps))
    exact = torch.float64 if session.device.type == "cpu" else torch.float32
    reference, plain = _copy(session, exact), _copy(session, torch.float32)
    run_steps(session, 2, [1.0])
    found = _left_behind(session)
    precision = session.spec.protocol.rules.precision
    expected = _plainly(session, reference, exact, "fp32")
    own = _plainly(session, plain, torch.float32, precision)
    tolerance = TOLERANCES[computed_in(precision, session.device)]
    loss, gradient = (_far(*pair) for pair in zip(expected, found, strict=True))
    usual, apart = _far(expected[1], own[1]), _far(own[1], found[1])
    allowed = max(tolerance, 2 * usual)
    name = str(exact).removeprefix("torch.")
    words = (
        f"loss {loss:.1g} from {name}, {tolerance:g} allowed; gradient {gradient:.1g}, "
        f"{allowed:.1g} allowed, a plain step's being {usual:.1g}"
    )
    passed = loss <= tolerance and gradient <= allowed
    if same_kernels:
        passed = passed and apart <= tolerance
        words += f" and {apart:.1g} from it"
    return Check(name=ONE_STEP, passed=passed, words=words)


def along_twenty_steps(plain: Session, fast: Session, *, exact: bool) -> Check:
    """Compare what two new sessions of one spec are after steps whose learning rate falls.

    Args:
        plain: On the plain rung.
        fast: On the one in question.
        exact: Whether they must agree to the bit; else how far they are apart is told, and nothing
            asked of it, since small differences grow.
    """
    before, after = (
        _state(each, [own for (own,) in _trajectory(_by_itself(each), each.source.steps)])
        for each in (plain, fast)
    )
    if exact:
        different = _first_unequal(before, after)
        words = f"{different} differs from eager" if different else "equal to eager to the bit"
        return Check(name=TRAJECTORY, passed=not different, words=words)
    words = f"weights {_weights_apart(plain, fast):.1g} of their size from eager"
    return Check(name=TRAJECTORY, passed=None, words=words)


def as_each_alone(
    alone: Iterable[Session], pack: Sequence[Session], run_epoch: RunEpoch, *, exact: bool
) -> Check:
    """Compare each run of a pack with the same run alone, along steps whose learning rate falls.

    Args:
        alone: New sessions on the plain rung, one for each of *pack*; they are used one by one.
        pack: Sessions that have taken :data:`WARM_STEPS` steps.
        run_epoch: Trains them all.
        exact: As for :func:`along_twenty_steps`.
    """
    found = list(zip(*_trajectory(run_epoch, pack[0].source.steps, first=2), strict=True))
    apart = []
    for number, (plain, fast, metrics) in enumerate(zip(alone, pack, found, strict=True)):
        run_steps(plain, 1, [1.0] * min(WARM_STEPS, plain.source.steps))
        own = [each for (each,) in _trajectory(_by_itself(plain), plain.source.steps, first=2)]
        different = _first_unequal(_state(plain, own), _state(fast, metrics))
        if exact and different:
            words = f"run {number + 1}: {different} differs from that of the run alone"
            return Check(name=TRAJECTORY, passed=False, words=words)
        apart.append(_weights_apart(plain, fast))
    if exact:
        words = f"each of {len(pack)} runs equal to the run alone to the bit"
        return Check(name=TRAJECTORY, passed=True, words=words)
    words = f"weights up to {max(apart):.1g} of their size from the runs alone"
    return Check(name=TRAJECTORY, passed=None, words=words)


def run_steps(session: Session, epoch: int, factors: Sequence[float]) -> PendingSums:
    """Take steps of *epoch* with these factors of the learning rate."""
    return session.loop.run_epoch(epoch, factors, lambda _done, _all: None)


def _by_itself(session: Session) -> RunEpoch:
    return lambda epoch, factors: [run_steps(session, epoch, factors)]


def _trajectory(run_epoch: RunEpoch, most: int, *, first: int = 1) -> list[list[dict[str, float]]]:
    """Take the steps, at *most* so many an epoch; the learning rate falls half-way.

    Returns:
        For each epoch, the metrics of each run.
    """
    factors = [RATES[2 * index // STEPS] for index in range(STEPS)]
    return [
        [sums.read().metrics for sums in run_epoch(first + number, factors[start : start + most])]
        for number, start in enumerate(range(0, STEPS, most))
    ]


def _weights_apart(plain: Session, fast: Session) -> float:
    ends = [flat(list(each.network.parameters())) for each in (plain, fast)]
    return _far(*ends)


def _state(session: Session, metrics: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return all that the steps leave: weights, buffers, state of the optimizer, metrics."""
    found: dict[str, Any] = dict(session.network.state_dict())
    found |= _leaves("optimizer", session.optimizer.state_dict()["state"])
    return found | {f"metrics {number}": each for number, each in enumerate(metrics)}


def _leaves(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _leaves(f"{path} {name}", inner)
    return found


def _first_unequal(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    if expected.keys() != actual.keys():
        return "what is kept"
    for name, value in expected.items():
        other = actual[name]
        same = torch.equal(value, other) if isinstance(value, Tensor) else value == other
        if not same:
            return name
    return ""


def _copy(session: Session, dtype: torch.dtype) -> nn.Module:
    """Return a copy of the network with weights of *dtype*."""
    bind_generator(session.network, None)
    network = copy.deepcopy(session.network).to(dtype)
    if dtype == torch.float32:
        return network
    for module in network.modules():
        if isinstance(module, Stochastic):
            # What is drawn depends on the dtype.
            module.register_forward_pre_hook(lambda _, inputs: tuple(i.float() for i in inputs))
            module.register_forward_hook(lambda _module, _inputs, output: output.to(dtype))
    return network


def _left_behind(session: Session) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of the step just taken."""
    gradients = [parameter.grad for parameter in session.network.parameters()]
    loss = session.loop.step.scores.loss
    return flat([loss]), flat([each for each in gradients if each is not None])


def _plainly(
    session: Session, network: nn.Module, dtype: torch.dtype, precision: str
) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of the first step of epoch 2 for *network* in a precision."""
    rules, device = session.spec.protocol.rules, session.device
    configure(precision, deterministic=rules.deterministic, device=device)
    session.source.start_epoch(2)
    Randomness(network, session.spec.stream_root, device).start_epoch(2)
    size = session.source.batch_size
    batch = session.source.batch(torch.zeros((), dtype=torch.int64, device=device), size)
    targets = batch.targets.to(dtype) if batch.targets.is_floating_point() else batch.targets
    network.train().zero_grad(set_to_none=True)
    with forward_context(precision, device):
        state = session.task.initial_state(size, device)
        loss = session.task(network, Batch(batch.inputs.to(dtype), targets), state).loss
    loss.backward()  # type: ignore[no-untyped-call]
    configure(rules.precision, deterministic=rules.deterministic, device=device)
    gradients = [each.grad for each in network.parameters()]
    return flat([loss]), flat([each for each in gradients if each is not None])


def _far(expected: Tensor, actual: Tensor) -> float:
    """Return the distance in the 2-norm over the size of what is expected."""
    if expected.shape != actual.shape:
        return float("inf")
    distance = float((actual - expected).norm()) / (float(expected.norm()) or 1.0)
    return distance if distance == distance else float("inf")
