"""Captured steps are plain steps to the bit, and what cannot be captured falls back.

A recorder for the processor stands in for CUDA graphs, see ``processor_recorder.py``.
"""

from __future__ import annotations

import logging
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from normbench import Dropout, Norm, Optimizer, UsageError
from normbench.engine import capturing, recording
from normbench.engine.agreement import Agreement
from normbench.engine.graph import LadderLoop
from normbench.engine.ladder import compiling_pays, decides_by_clock, rungs_to_try
from normbench.engine.rates import NumberRates, TensorRates
from normbench.engine.session import open_session
from normbench.engine.snapshot import Snapshot
from normbench.engine.step import Step
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.rungs import Rung, check_engine

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
Recorder = runpy.run_path(str(Path(__file__).with_name("processor_recorder.py")))["Recorder"]
TASKS = runpy.run_path(str(Path(__file__).with_name("carrying_task.py")))
Carrying, Unfolding = (TASKS[name] for name in ("Carrying", "Unfolding"))
OPTIMIZERS = [o.component for o in CATALOGUE.offers(Optimizer) if ":" not in o.component.name]
NORMS = [o.component.name for o in CATALOGUE.offers(Norm) if ":" not in o.component.name]


@pytest.fixture
def as_on_cuda(monkeypatch):
    """Let optimizers take on the processor the implementation that they take on CUDA."""
    for optimizer in OPTIMIZERS:
        optimizer.load()
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith("torch.optim") and hasattr(module, "_get_capturable_supported_devices"):
            monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda **_: ["cpu"])
        if name.startswith("normbench_plugins.optimizers") and hasattr(module, "capturable"):
            monkeypatch.setattr(module, "capturable", lambda _: True)


def opened(optimizer="momentum", *words, norm=None, device=CPU, engine="auto"):
    """Return a session of epochs of eleven steps, with a smaller last batch."""
    words = ("problem.batch_size=8", *(("max_iter=3",) if optimizer == "lbfgs" else ()), *words)
    sites = {} if norm in (None, "none") else {"norm": norm, "sites": (1, 1, 0)}
    asked = {"problem": "digits_cnn", "optimizer": optimizer, "words": words, **sites}
    request = Request(**asked, seeds=[0])
    session = open_session(resolve(request, CATALOGUE)[0], CATALOGUE, None, device, engine)
    session.source.steps, session.source.last_size, session.source.examples = 11, 3, 83
    return session


def on_rungs(session, *rungs, plain=False, recorder=None, **options):
    """Return the loop of *session*, with these rungs and the recorder."""
    description = CATALOGUE.get(Optimizer, session.spec.optimizer.name)
    rungs = () if plain else rungs or rungs_to_try("graph", description, captures=True)
    rates = (
        TensorRates(session.optimizer, session.source.steps, CPU)
        if description.capturable
        else NumberRates(session.optimizer)
    )
    parts = (session.network, session.task, session.optimizer, session.source, rates)
    session.loop = LadderLoop(
        Step(*parts, precision="fp32", device=CPU),
        session.randomness,
        rungs=rungs,
        recorder=recorder or Recorder(),
        needs_closure=description.needs_closure,
        **options,
    )
    return session


def trained(session, epochs=2):
    """Train with a learning rate that falls within each epoch; return all that is left."""
    loop, steps = session.loop, session.source.steps
    sums = [
        loop.run_epoch(
            epoch, [1.0 / (epoch + step // 5) for step in range(steps)], lambda *_: None
        ).read()
        for epoch in range(1, epochs + 1)
    ]
    state = session.optimizer.state_dict()
    return session.network.state_dict(), state, sums, loop.gradient_evaluations


def assert_same(expected, actual):
    """Compare trees of tensors and values to the bit."""
    for one, other in zip(tree_leaves(expected), tree_leaves(actual), strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)
        else:
            assert one == other


NOT_WHOLE = {"adagrad", "lbfgs", "sam", "soap"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_captured_steps_of_every_optimizer_are_plain_ones(optimizer, as_on_cuda):
    """Twenty-two steps with falling rates end in the same bits; four optimizers stay outside."""
    plain = on_rungs(opened(optimizer.name), plain=True)
    captured = on_rungs(opened(optimizer.name))

    assert_same(trained(plain), trained(captured))
    expected = Rung.GRADIENT_GRAPH if optimizer.name in NOT_WHOLE else Rung.GRAPH
    assert expected == captured.loop.name


@pytest.mark.parametrize("norm", [name for name in NORMS if name != "none"])
def test_captured_steps_of_every_norm_are_plain_ones(norm, as_on_cuda):
    """Statistics, step counts and weights after replayed steps are those after plain ones."""
    words = () if norm != "batch_renorm" else ("norm.plain_steps=3", "norm.r_ramp_steps=9")
    plain, captured = (
        on_rungs(opened("adam", *words, norm=norm), plain=each) for each in (True, False)
    )

    assert_same(trained(plain), trained(captured))
    assert "graph" == captured.loop.name


class FromHost:
    """A source whose batches come one after another, whatever the cursor says."""

    from_host = True

    def __init__(self, source):
        self.own, self.cursor = source, torch.zeros((), dtype=torch.int64)
        self.steps, self.batch_size = source.steps, source.batch_size
        self.last_size, self.examples = source.last_size, source.examples

    def start_epoch(self, epoch):
        """Begin again."""
        self.own.start_epoch(epoch)
        self.cursor.zero_()

    def batch(self, cursor, size):
        """Return the next batch."""
        batch = self.own.batch(self.cursor, size)
        self.cursor += size
        return batch


def with_layer(session, layer):
    """Put *layer* before the network of *session*."""
    session.network.layer = layer
    session.network.register_forward_pre_hook(
        lambda network, inputs: (network.layer(inputs[0]), *inputs[1:])
    )


def with_dropout(session):
    """Draw from the run's generator and from torch's global one."""
    with_layer(session, torch.nn.Sequential(Dropout(0.3), torch.nn.Dropout(0.3)))


def with_state(session):
    """Carry a state from batch to batch."""
    session.task = Carrying(session.task)


def from_no_state(session):
    """Carry a state from batch to batch that an epoch begins without."""
    session.task = Carrying(session.task, empty=True)


def in_two_steps(session):
    """Carry a state that takes its form in the first two steps of an epoch."""
    session.task = Unfolding(session.task)


def from_host(session):
    """Take batches from the host."""
    session.source = FromHost(session.source)


@pytest.mark.parametrize("optimizer", ["momentum", "sam"])
@pytest.mark.parametrize("change", [with_dropout, with_state, from_host])
def test_captured_steps_take_masks_states_and_batches_where_they_come_from(optimizer, change):
    """Random streams, carried states and batches of the host are those of plain steps."""
    runs = [opened(optimizer), opened(optimizer)]
    for session in runs:
        change(session)
    plain, captured = on_rungs(runs[0], plain=True), on_rungs(runs[1])

    assert_same(trained(plain), trained(captured))
    assert ("graph" if optimizer == "momentum" else "gradient_graph") == captured.loop.name
    # Else autograd would take the nodes of plain steps, and their stream, into a capture.
    assert plain.loop.step.scores.loss.grad_fn is None


@pytest.mark.parametrize(
    ("optimizer", "rung"),
    [
        ("momentum", Rung.GRAPH),
        ("adam", Rung.COMPILE),
        ("adagrad", Rung.GRADIENT_GRAPH),
        ("sam", Rung.GRADIENT_GRAPH),
    ],
)
def test_each_epoch_may_begin_without_a_state(optimizer, rung):
    """A plain step then begins the state where the captured steps of all epochs read it."""
    runs = [opened(optimizer), opened(optimizer)]
    for session in runs:
        from_no_state(session)
    plain, captured = on_rungs(runs[0], plain=True), on_rungs(runs[1], rung)
    captured.loop._compiled = captured.task
    taken, take_plainly = [], captured.loop.take_plain_step
    captured.loop.take_plain_step = lambda size: taken.append(size) or take_plainly(size)

    assert_same(trained(plain), trained(captured))
    assert (rung, [8, 3, 8, 3]) == (captured.loop.name, taken)


class Keeping:
    """A sink that keeps the checkpoint of each epoch."""

    def __init__(self, folder):
        self.folder, self.points = folder, []

    def point(self, point):
        """Keep a curve point."""
        self.points.append(point)

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep a checkpoint."""
        write(self.folder / f"{epoch}.pt")


@pytest.mark.parametrize(
    ("optimizer", "rung", "change"),
    [
        ("adam", "graph", with_dropout),
        ("adam", "graph", from_no_state),
        ("sam", "gradient_graph", from_no_state),
        ("adam", "graph", in_two_steps),
    ],
)
def test_resumed_run_keeps_its_rung_and_its_bits(optimizer, rung, change, tmp_path):
    """What was captured in the first attempt is captured in the second, from the checkpoint."""
    sink, words = Keeping(tmp_path), ("protocol.epochs=2", "protocol.evaluate_every=2")
    first, second = opened(optimizer, *words), opened(optimizer, *words)
    for session in (first, second):
        change(session)
    whole = Trainer(on_rungs(first, Rung(rung)), sink, checkpoint_seconds=-1).run()
    result = Trainer(on_rungs(second), sink).run(tmp_path / "1.pt", sink.points[:2])

    assert [rung, rung] == [whole["engine"], result["engine"]]
    content = torch.load(tmp_path / "1.pt", weights_only=True)
    assert 0 < content["progress"]["engine_seconds"] < result["engine_seconds"]
    assert whole["weights_sha256"] == result["weights_sha256"]
    rates = [group["lr"] for group in content["optimizer"]["param_groups"]]
    assert all(isinstance(rate, float) for rate in rates)


class CountsInPython(torch.nn.Module):
    """Scales by a number that Python counts."""

    calls = 0

    def forward(self, inputs):
        """Count and scale."""
        self.calls += 1
        return inputs * (1 + self.calls / 100)


class ReadsOnHost(torch.nn.Module):
    """Scales by a number read from the device."""

    def forward(self, inputs):
        """Read and scale."""
        return inputs * (1 + inputs.mean().item())


class ReplacesItsBuffer(torch.nn.Module):
    """Keeps a mean in a new tensor each time."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, inputs):
        """Move the mean and add it."""
        self.mean = 0.9 * self.mean + 0.1 * inputs.detach().mean()
        return inputs + self.mean


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (CountsInPython, "attribute layer.calls changes in Python"),
        (ReadsOnHost, "_local_scalar_dense"),
        (ReplacesItsBuffer, "buffer layer.mean is made anew in each step"),
    ],
)
def test_what_no_replay_repeats_falls_back(layer, reason, caplog):
    """The log says why in a line a rung, and the run is the plain one."""
    runs = [opened("momentum"), opened("momentum")]
    for session in runs:
        with_layer(session, layer())
    plain, captured = on_rungs(runs[0], plain=True), on_rungs(runs[1])

    assert_same(trained(plain), trained(captured))
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["eager", 2, True] == [captured.loop.name, len(said), all(reason in s for s in said)]


class Forgetful(Recorder):
    """Replays nothing."""

    def capture(self, work):
        """Record *work*, and drop it."""
        super().capture(work)
        return lambda: None


@pytest.mark.parametrize("agreement", [Agreement(), Agreement(exact=False)])
def test_replay_that_differs_falls_back(agreement, caplog):
    """A capture that lost the work is found out before a step is trained with it."""
    plain = on_rungs(opened(), plain=True)
    captured = on_rungs(opened(), recorder=Forgetful(), agreement=agreement)

    assert_same(trained(plain), trained(captured))
    assert "eager" == captured.loop.name
    assert "plain step" in caplog.text


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "muon", "schedule_free_adamw"])
def test_snapshot_undoes_steps_to_the_bit(optimizer):
    """After steps and back, the next steps are those of a run that never left."""
    straight, there_and_back = opened(optimizer), opened(optimizer)
    assert_same(trained(straight, 1), trained(there_and_back, 1))
    loop = there_and_back.loop
    loop._step.start_epoch([1.0] * 11)
    snapshot = Snapshot(loop._step, there_and_back.randomness)
    for _ in range(2):
        loop._plain(8)
    snapshot.restore()
    loop.gradient_evaluations = straight.loop.gradient_evaluations

    assert not snapshot.changes()
    assert_same(trained(straight, 2), trained(there_and_back, 2))


def test_step_counts_on_the_host_are_no_part_of_a_replay():
    """A tensor elsewhere than the run, as torch's Adam keeps one, shows where its value changed."""
    session = opened("adam")
    trained(session, 1)
    loop = session.loop
    loop._step.start_epoch([1.0] * 11)
    loop._step._device = torch.device("meta")
    snapshot = Snapshot(loop._step, session.randomness)
    assert not snapshot.changes()
    loop._step.optimizer.step()

    changes = snapshot.changes()
    counts = [path for path in changes if path[0] == "optimizer state" and path[-1] == "step"]
    assert counts
    assert {"changes on the cpu, where no replay computes"} == {changes[path] for path in counts}


@pytest.mark.parametrize(("seconds", "rung"), [(0.1, "graph"), (1e9, "compile")])
def test_replays_are_timed_alone_and_undone(seconds, rung):
    """What decides is the time of bare replays, after which the run is where it was."""
    said, plain = [], on_rungs(opened("adam"), plain=True)
    session = on_rungs(opened("adam"), Rung.GRAPH, agreement=Agreement(exact=False))
    session.loop._compiled = session.task
    session.loop._pays = lambda taken, of_one: said.append((taken, of_one)) or seconds > 1
    ends = trained(plain), trained(session)

    assert_same(*ends)
    assert (rung, 1) == (session.loop.name, len(said))
    assert 1 == said[0][0]
    assert 0 < said[0][1] < 10


class Scaled:
    """A task whose loss is a little off, as compiled ones are."""

    def __init__(self, task, factor):
        self.task, self.factor = task, factor
        self.metrics, self.initial_state = task.metrics, task.initial_state

    def __call__(self, network, batch, state):
        """Return the scores with another loss."""
        scores = self.task(network, batch, state)
        return replace(scores, loss=scores.loss * self.factor)


@pytest.mark.parametrize(("factor", "rung"), [(1 + 1e-5, "compile"), (1.01, "graph")])
def test_compiled_step_is_held_to_a_tolerance(factor, rung, caplog):
    """Half a tolerance off stays, a hundred tolerances off falls back to the graph."""
    session = on_rungs(opened("adam"), Rung.COMPILE, Rung.GRAPH)
    session.loop._compiled = Scaled(session.task, factor)
    trained(session)

    assert rung == session.loop.name
    assert (rung == "graph") == ("engine compile does not hold: its loss is 0.01" in caplog.text)


def test_run_keeps_the_rung_that_it_began_on(caplog):
    """A resume takes that rung whatever was asked for, and refuses to go on without it."""
    kept = on_rungs(opened(), Rung.GRAPH)
    kept.loop.keep("gradient_graph")
    trained(kept)

    assert "gradient_graph" == kept.loop.name
    with pytest.raises(UsageError, match="began on engine graph"):
        opened().loop.keep("graph")
    broken = on_rungs(opened(), recorder=Forgetful())
    broken.loop.keep("graph")
    with pytest.raises(UsageError, match=r"cannot be had here: .* differs"):
        trained(broken)


WAITING = {
    "mask": lambda x: x[x > 1],
    "mask set": lambda x: x.clone().index_put_((x > 1,), x[:2]),
    "places": lambda x: torch.where(x > 1),
    "repeats": lambda x: torch.repeat_interleave(x, x.long()),
    "bins": lambda x: torch.bincount(x.long()),
    "unique": lambda x: x.unique(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "list": lambda x: x.tolist(),
    "item": lambda x: x[0].item(),
    "numbers": lambda x: x[[0, 1]],
    "number": lambda x: torch.tensor(3.0, device=x.device),
    "alike": lambda x: x.new_tensor(3.0),
}


@pytest.mark.parametrize("work", WAITING.values(), ids=WAITING)
def test_stand_in_refuses_what_a_capture_refuses(work):
    """What waits for the device or copies from the host is refused; the like that does not, not."""
    x, calls = torch.arange(4.0), []

    def allowed():
        x.clone()[x > 1] = 0.0
        torch.repeat_interleave(x, x.long(), output_size=6)
        calls.append(torch.where(x > 1, x * torch.tensor(3.0), torch.full_like(x, 2)))

    Recorder().capture(allowed)
    assert 1 == len(calls)
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        Recorder().capture(lambda: work(x))


def test_rungs_follow_engine_optimizer_and_device(monkeypatch, caplog):
    """The graph holds the optimizer where it may; the processor has two rungs."""
    adam, sam = (CATALOGUE.get(Optimizer, name) for name in ("adam", "sam"))
    graphs = (Rung.GRAPH, Rung.GRADIENT_GRAPH)

    assert graphs == rungs_to_try("auto", adam, captures=True)
    assert (Rung.GRADIENT_GRAPH,) == rungs_to_try("compile", sam, captures=True)
    assert (Rung.COMPILE, *graphs) == rungs_to_try("compile", adam, captures=True)
    assert [(), (Rung.COMPILE,)] == [
        rungs_to_try(engine, adam, captures=False) for engine in ("auto", "compile")
    ]
    assert not any(rungs_to_try("eager", adam, captures=each) for each in (True, False))
    rules = opened().spec.protocol.rules
    quick = replace(rules, deterministic=False)
    assert [False, True, False, False] == [
        decides_by_clock(*asked)
        for asked in [
            *[("auto", each, torch.device("cuda")) for each in (rules, quick)],
            ("graph", quick, torch.device("cuda")),
            ("auto", quick, CPU),
        ]
    ]
    assert compiling_pays(100_000, 0, 0.01)
    assert not compiling_pays(100_000, 99_000, 0.01)
    with pytest.raises(UsageError, match="needs an NVIDIA GPU"):
        check_engine("graph", "cpu")
    opened("sam", engine="compile")
    assert not caplog.text
    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Recorder())
    opened("adam", engine="compile")
    assert not caplog.text
    opened("sam", engine="compile")
    assert "engine compile is not tried: " in caplog.text
    assert "going on with gradient_graph" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_cuda_graph_of_every_optimizer_is_plain_steps(optimizer):
    """With deterministic kernels CUDA graphs end in the bits of plain steps."""
    ends = []
    for engine in ("eager", "graph"):
        session = opened(optimizer.name, device=torch.device("cuda"), engine=engine)
        with_dropout(session)
        ends.append(trained(session))

    expected = Rung.GRADIENT_GRAPH if optimizer.name in NOT_WHOLE else Rung.GRAPH
    assert expected == session.loop.name
    assert_same(*ends)


ON_CUDA = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)


@pytest.fixture
def recording_device(request, monkeypatch):
    """Return a device whose sessions record as they are; the stand-in lets the processor do so."""
    if request.param == "cpu":
        request.getfixturevalue("as_on_cuda")
        monkeypatch.setitem(recording.RECORDERS, "cpu", lambda *_: Recorder())
    return torch.device(request.param)


def on_devices(cases, *on_processor):
    """Return the *cases* on CUDA, and on the processor those named, which show that they run."""
    named = [pytest.param("cpu", *cases[name], id=f"cpu {name}") for name in on_processor]
    return named + [
        pytest.param("cuda", *case, id=f"cuda {name}", marks=ON_CUDA)
        for name, case in cases.items()
    ]


def carrying(session):
    """Let the loop that *session* came with carry a state."""
    from_no_state(session)
    session.loop.step.task = session.loop._plain_task = session.task


RENORM = ("norm.plain_steps=3", "norm.r_ramp_steps=9")
BF16 = ("protocol.precision=bf16",)
SESSIONS = {
    **{norm: (norm, RENORM if norm == "batch_renorm" else (), None) for norm in NORMS},
    "state": (None, (), carrying),
    "bf16": ("batch_norm", BF16, with_dropout),
    "bf16 group": ("group_norm", BF16, None),
}


@pytest.mark.parametrize(
    ("recording_device", "norm", "words", "change"),
    on_devices(SESSIONS, "state", "bf16"),
    indirect=["recording_device"],
)
def test_graph_of_a_session_is_plain_steps(recording_device, norm, words, change):
    """Whole steps with every norm, a state or bf16 end in the bits of plain ones, rates falling."""
    ends = []
    for engine in ("eager", "auto"):
        session = opened("adam", *words, norm=norm, device=recording_device, engine=engine)
        if change is not None:
            change(session)
        ends.append(trained(session))

    assert "graph" == session.loop.name
    assert_same(*ends)


RESUMES = {
    "graph": ("adam", (), "graph"),
    "gradient graph": ("sam", (), "gradient_graph"),
    "bf16": ("momentum", BF16, "graph"),
}


@pytest.mark.parametrize(
    ("recording_device", "optimizer", "words", "rung"),
    on_devices(RESUMES, "gradient graph", "bf16"),
    indirect=["recording_device"],
)
def test_resumed_session_keeps_its_rung(recording_device, optimizer, words, rung, tmp_path):
    """Gone on from a checkpoint, a run is captured as before, to the bits of plain steps."""
    sink, words = Keeping(tmp_path), ("protocol.epochs=2", "protocol.evaluate_every=2", *words)
    plain, whole, again = (
        opened(optimizer, *words, device=recording_device, engine=engine)
        for engine in ("eager", "auto", "auto")
    )
    results = [
        Trainer(plain, Keeping(tmp_path / "none"), checkpoint_seconds=1e9).run(),
        Trainer(whole, sink, checkpoint_seconds=-1).run(),
        Trainer(again, sink, checkpoint_seconds=1e9).run(tmp_path / "1.pt", sink.points[:2]),
    ]

    assert ["eager", rung, rung] == [result["engine"] for result in results]
    assert 1 == len({result["weights_sha256"] for result in results})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("layer", [ReadsOnHost, CountsInPython])
def test_failed_cuda_capture_leaves_the_run_as_it_was(layer):
    """Behind a capture that broke the run draws on and is plain, and the next one is captured."""
    ends, rungs, device = {"eager": [], "graph": []}, [], torch.device("cuda")
    before = torch.cuda.current_stream(device)
    earlier = opened("adam", device=device, engine="graph")
    with_dropout(earlier)
    trained(earlier, 1)
    for engine, left in ends.items():
        for layers in ([layer()], []):
            session = opened("adam", device=device, engine=engine)
            with_layer(session, torch.nn.Sequential(Dropout(0.3), torch.nn.Dropout(0.3), *layers))
            left.append(trained(session))
            rungs.append(session.loop.name)

    assert ["eager", "eager", "eager", "graph"] == rungs
    assert (before, "") == (torch.cuda.current_stream(device), capturing.CAPTURES.over)
    assert_same(ends["eager"], ends["graph"])
    # A graph of before still draws.
    again = opened("adam", device=device, engine="eager")
    with_dropout(again)
    trained(again, 1)
    assert_same(trained(again, 1), trained(earlier, 1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_cuda_step_holds():
    """Compiled within the captured step, loss and gradient stay within the tolerance."""
    session = opened("adam", device=torch.device("cuda"), engine="compile", norm="batch_norm")
    trained(session)

    assert "compile" == session.loop.name
