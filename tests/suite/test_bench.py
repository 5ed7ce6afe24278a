"""The bench compares loops that do the same work, and says under which conditions."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from normbench import Dataset, Part, UsageError
from normbench.augmentation import Augmentation
from normbench.bench import timing
from normbench.bench.against import check_comparable, compare, other_hardware
from normbench.bench.baseline import loader, plain_optimizer, tuned_optimizer
from normbench.bench.conditions import conditions
from normbench.bench.correctness import after_one_step, along_twenty_steps
from normbench.bench.driven import DrivenPack
from normbench.bench.engine_row import EngineRow
from normbench.bench.figures import Measured, rows_of
from normbench.bench.journal import temporary_journal
from normbench.bench.material import gather
from normbench.bench.measure import bench
from normbench.bench.pack_row import PackRow, Together
from normbench.bench.reading import read_report
from normbench.bench.report import Check, Spread
from normbench.bench.roof import Need, Roof, training_need
from normbench.bench.rows import Lineup, Wanted, first_name, rows_named
from normbench.bench.timing import Turn, joules_of, take_turns
from normbench.bench.tuned import evaluation_loader, loader_workers
from normbench.bench.yardsticks import TunedRow
from normbench.cli import cli
from normbench.engine.meter import Meter
from normbench.engine.recording import RECORDERS
from normbench.engine.session import load_data
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.rungs import Rung

CATALOGUE = load_catalogue()
DIGITS = CATALOGUE.get(Dataset, "digits")
CPU = torch.device("cpu")
# Numbers that an example moves in digits_cnn_bn: convolutions, dense layers, norms.
MOVED = 3 * ((64 + 256) + (256 + 512) + (512 + 32) + (32 + 10)) + 7 * (256 + 512 + 32)


@pytest.fixture(scope="module")
def data():
    """Return the digits."""
    return load_data(DIGITS, None)


@pytest.fixture(scope="module")
def material(data):
    """Return 128 digits to train on."""
    words = ("problem.batch_size=32",)
    spec = resolve(
        Request(problem="digits_cnn_bn", optimizer="momentum", words=words, seeds=1), CATALOGUE
    )[0]
    with temporary_journal() as journal:
        yield gather(spec, CATALOGUE, data, CPU, 128, journal)


@pytest.fixture(scope="module")
def report(material):
    """Return what one call finds."""
    wanted = Wanted(workers=1, deterministic=(True, False))
    told = conditions(material, wanted.deterministic, 2, None)
    return bench(material, wanted, told, rounds=2, command="normbench bench digits_cnn_bn")


def test_rows_do_the_same_work_and_others_are_named(report):
    """Yardsticks first, then the engine in both modes; what a processor lacks is told with why."""
    names = [row.name for row in report.rows]

    assert ["DeepOBS-shaped loop", "the same without its loader"] == names[:2]
    assert "tuned DataLoader loop, 1 worker" == names[2]
    assert ["normbench eager, deterministic", "normbench eager, not deterministic"] == names[3:]
    assert all("NVIDIA GPU" in reason for reason in report.left_out.values())
    assert 6 == len(report.left_out)
    assert (2, 1) == (report.n, report.conditions["repeats"])
    assert (128, 4) == (report.conditions["examples_trained"], report.conditions["steps"])
    assert {"train_subset": 32, "validation": 32, "test": 32} == report.conditions[
        "examples_evaluated"
    ]


def test_figures_of_a_call_are_possible_ones(report):
    """Ratios lie within their extremes, shares below one, and each engine row was checked."""
    for row in report.rows:
        for speed in (row.end_to_end, row.training):
            assert 0 < speed.ratio.low <= speed.ratio.median <= speed.ratio.high
        assert 0 <= row.evaluation_share < 1
        assert 0 < row.roof_share
        assert [True] * row.name.startswith("normbench") == [c.passed for c in row.checks]
    assert Spread(1, 1, 1) == report.rows[0].training.ratio == report.rows[2].training.tuned_ratio
    assert 3 == len(report.extras)
    assert 2 == len(report.pipeline)


def test_report_is_read_back_as_it_was_written(report, tmp_path):
    """A file holds strict JSON with its schema, and nothing is lost on the way."""
    file = tmp_path / "bench.json"
    content = report.to_dict()
    file.write_text(json.dumps({**content, "against": {}}, allow_nan=False))

    assert ["schema", "kind"] == list(content)[:2]
    assert json.dumps(content) == json.dumps(read_report(file).to_dict())
    assert report.ratios() == read_report(file).ratios()


def measured(training, whole, *, members=1, repeats=1, tuned=False, joules=None):
    """Return a row of 100 examples with the seconds of its turns."""
    row = SimpleNamespace(name="row", members=members)
    if tuned:
        row = TunedRow.__new__(TunedRow)
        row.name = "row"
    return Measured(row, 100, repeats, training, whole, joules)


def test_figures_follow_from_seconds():
    """Speeds, ratios round by round, evaluation, energy and the share of the roof, by hand."""
    first = measured([4.0, 8.0, 4.0], [8.0, 16.0, 8.0])
    tuned = measured([2.0, 2.0, 2.0], [4.0, 4.0, 1.0], tuned=True)
    pack = measured([2.0, 2.0, 4.0], [8.0, 8.0, 6.0], members=2, repeats=2, joules=6.0)
    *_, row = rows_of([first, tuned, pack], {"row": ()}, 1000.0)

    assert 200.0 == row.training.examples_per_second
    assert Spread(8.0, 4.0, 16.0) == row.training.ratio
    assert Spread(4.0, 2.0, 4.0) == row.training.tuned_ratio
    assert 50.0 == row.end_to_end.examples_per_second
    assert Spread(pytest.approx(16 / 3), 4.0, 8.0) == row.end_to_end.ratio
    assert (0.75, 0.2, 6.0) == (row.evaluation_share, row.roof_share, row.joules)


@pytest.mark.parametrize(
    ("flops", "traffic", "expected"),
    [(2.0, 1.0, (50.0, "matrix rate")), (1.0, 4.0, (25.0, "copy bandwidth"))],
)
def test_lower_ceiling_binds(flops, traffic, expected):
    """A device that computes and copies 100 a second trains as fast as the dearer part allows."""
    assert expected == Need(flops, traffic).fastest(Roof(100.0, 100.0))


def test_need_of_a_network_is_counted(material):
    """Products thrice in and out, a norm seven times; weights, gradients and states once a step."""
    built, task, optimizer = material.built()
    session = material.session("eager", deterministic=True)
    session.source.start_epoch(1)
    batch = session.source.batch(torch.zeros((), dtype=torch.int64), 32)
    before = training_need(built, task, optimizer, batch, "fp32", CPU)
    optimizer.step()
    after = training_need(built, task, optimizer, batch, "fp32", CPU)
    half = training_need(built, task, optimizer, batch, "bf16", CPU)
    momentum = 8 * built.parameter_count / 32
    update = 12 * built.parameter_count / 32

    assert after.flops == before.flops > 0
    assert momentum == pytest.approx(after.traffic - before.traffic)
    assert (before.traffic - update) / 2 == pytest.approx(half.traffic - update - momentum)
    assert MOVED * 4 == pytest.approx(before.traffic - update)


def test_turns_are_interleaved_and_the_first_round_warms_up(monkeypatch):
    """Every turn is prepared, and none of the first round is counted."""
    done = []

    def seconds_of(work, device):
        work()
        return float(len(done))

    monkeypatch.setattr(timing, "seconds_of", seconds_of)
    turns = [Turn(lambda n=n: done.append(n), lambda n=n: done.append(-n)) for n in (1, 2)]
    first, second = take_turns(turns, 2, CPU)

    assert [-1, 1, -2, 2] * 3 == done
    assert ([6.0, 10.0], [8.0, 12.0]) == (first, second)


def test_energy_is_read_over_seconds_not_over_one_turn(monkeypatch):
    """Work of 0.3 s is done seven times between two readings; no meter, no work, no number."""
    done, clock = [], SimpleNamespace(now=0.0)

    def work():
        clock.now += 0.3
        done.append("work")

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    turn = Turn(work, lambda: done.append("prepare"))
    found = joules_of(turn, CPU, lambda: 100 * clock.now)

    assert 30.0 == pytest.approx(found)
    assert ["prepare", *["work"] * 7] == done
    assert joules_of(turn, CPU, lambda: None) is None
    assert 7 == done.count("work")


def test_row_is_trained_as_a_worker_does(material):
    """The engine's row is a run in a store, with a point an epoch; in the end it is let go of."""
    journals = "*/runs/*/*/attempts/*/journal.jsonl"
    others = set(material.journal.folder.glob(journals))
    row = EngineRow("row", material, Rung.EAGER, deterministic=True)
    for _ in range(2):
        row.epoch()
    row.train()
    (file,) = set(material.journal.folder.glob(journals)) - others
    points = [json.loads(line) for line in file.read_text().splitlines()]
    row.close()

    assert [0, 1, 2] == [point["epoch"] for point in points]
    assert {"train", "validation", "test"} <= set(points[-1])
    assert "interrupted" in (file.parent / "outcome.json").read_text()


def test_run_that_ends_cannot_be_timed(material):
    """A loss that is no number is told, with what to change."""
    row = EngineRow("row", material, Rung.EAGER, deterministic=True)
    row.epoch()
    with torch.no_grad():
        next(row.session.network.parameters()).fill_(torch.nan)

    with pytest.raises(UsageError, match=r"diverged while .* 1 epochs after .* smaller"):
        row.epoch()
    row.close()


def test_pack_is_driven_by_the_engines_own(material):
    """Each epoch asked for is one of every run, by its own loop if need be; its end is told."""
    sessions = [material.session("eager", deterministic=True, seed=seed) for seed in (7, 8)]
    pack = DrivenPack(material, sessions)
    counts = []
    for _ in range(2):
        pack.train()
        counts.append((pack.alone, [each.loop.gradient_evaluations for each in sessions]))
    with torch.no_grad():
        next(sessions[0].network.parameters()).fill_(torch.nan)

    assert [(2, [4, 4]), (4, [8, 8])] == counts
    with pytest.raises(UsageError, match="a run diverged while it was timed, 2 epochs"):
        pack.train()
    pack.close()


def test_higher_of_two_roofs_counts():
    """Each ceiling is the higher of what was measured before the rows and after them."""
    assert Roof(3.0, 7.0) == Roof(3.0, 4.0).or_higher(Roof(2.0, 7.0))


def with_ratio(report, median, low):
    """Return *report* with a ratio for the engine's first row."""
    rows = [*report.rows]
    speed = replace(rows[3].training, ratio=Spread(median, low, 2 * median))
    rows[3] = replace(rows[3], training=speed)
    return replace(report, rows=rows)


@pytest.mark.parametrize(
    ("then", "now", "word"),
    [
        ((10.0, 9.9), 9.01, "alike"),
        ((10.0, 9.9), 8.99, "regressed"),
        ((10.0, 9.9), 11.01, "faster"),
        ((10.0, 8.5), 8.51, "alike"),
        ((10.0, 8.5), 8.49, "regressed"),
        ((10.0, 7.0), 7.99, "regressed"),
        ((10.0, 7.0, 2), 8.99, "regressed"),
    ],
)
def test_ratio_regresses_beyond_tolerance_and_spread(then, now, word, report):
    """A tenth less is allowed, or as the worst of three rounds or more was, up to two tenths."""
    median, low, rounds = (*then, 3)[:3]
    before = replace(with_ratio(report, median, low), n=rounds)
    changes = compare(before, with_ratio(report, now, 0.1 * now))
    (change,) = (each for each in changes if each.name == f"{report.rows[3].name}, training alone")

    assert word == change.word
    assert (word == "regressed") == change.regressed
    assert now / 10 - 1 == pytest.approx(change.change)


def test_rows_that_are_there_once_are_told_apart(report):
    """A row that the machine lost is a regression, one that was not asked for is none."""
    fewer = replace(report, rows=report.rows[:3], left_out={report.rows[3].name: "fell back"})
    words = {change.name: change.word for change in compare(report, fewer)}
    reverse = {change.word for change in compare(fewer, report)}
    lost = {change.name for change in compare(report, fewer) if change.regressed}
    both = {f"{report.rows[3].name}, {what}" for what in ("end to end", "training alone")}

    assert both == lost
    assert "gone" == words[f"{report.rows[3].name}, end to end"]
    assert "not measured" == words[f"{report.rows[4].name}, end to end"]
    assert {"alike", "new"} == reverse


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "cuda"),
        ("norm", "none"),
        ("precision", "bf16"),
        ("deterministic", [True]),
        ("examples_trained", 512),
        ("examples_evaluated", {"test": 8}),
        ("repeats", 2),
    ],
)
def test_report_of_other_work_is_refused(name, value, report, tmp_path):
    """What differs is named; another machine of the same kind is compared with a warning."""
    first, told = report.rows[0].name, dict(report.conditions)
    check_comparable(tmp_path, report, report.problem, told, first)
    with pytest.raises(UsageError, match=f"measured with {name.replace('_', ' ')}"):
        check_comparable(tmp_path, report, report.problem, {**told, name: value}, first)
    with pytest.raises(UsageError, match="ratios over 'DeepOBS"):
        check_comparable(tmp_path, report, report.problem, told, "another")

    assert not other_hardware(report, told)
    assert "ABC" in other_hardware(report, {**told, "hardware": "ABC"})


def test_one_step_is_held_against_float64(material):
    """A gradient half too large in one layer is found out either way, a right one is not."""
    sessions = [material.session("eager", deterministic=True) for _ in range(3)]
    for wrong in sessions[1:]:
        next(wrong.network.parameters()).register_hook(lambda gradient: 1.5 * gradient)
    strict = (True, True, False)
    pairs = zip(sessions, strict, strict=True)
    found = [after_one_step(session, same_kernels=same) for session, same in pairs]

    assert [True, False, False] == [check.passed for check in found]
    assert all("from float64" in check.words for check in found)


def test_twenty_steps_are_held_against_eager_to_the_bit(material):
    """Equal sessions are equal; another learning rate after the tenth step is not."""
    sessions = [material.session("eager", deterministic=True) for _ in range(4)]
    equal = along_twenty_steps(*sessions[:2], exact=True)
    rates = sessions[3].loop.step.rates
    last = rates.start_epoch
    rates.start_epoch = lambda factors: last([max(factor, 0.2) for factor in factors])
    unequal = along_twenty_steps(*sessions[2:], exact=True)
    told = along_twenty_steps(*sessions[:2], exact=False)

    assert (True, "equal to eager to the bit") == (equal.passed, equal.words)
    assert (False, True) == (unequal.passed, "differs from eager" in unequal.words)
    assert (None, "weights 0 of their size from eager") == (told.passed, told.words)


def test_plain_loader_gives_the_engine_s_numbers(data):
    """Without augmentation the PIL chain and the resident source normalize alike."""
    from normbench.engine.sources import Evaluation

    part = Part(data.test.inputs[:16], data.test.targets[:16])
    (plain,) = loader(part, DIGITS, None, 16)
    (ours,) = Evaluation(part, DIGITS, 16, CPU)

    torch.testing.assert_close(plain[0], ours.inputs)
    assert torch.equal(plain[1], ours.targets)


def test_loaders_cut_batches_as_they_should(data):
    """The yardstick trains on full batches; evaluated parts are whole, and no batch mixes two."""
    part = Part(data.train.inputs[:20], data.train.targets[:20])
    plain = loader(part, DIGITS, Augmentation(), 8)
    tuned = evaluation_loader([part, part], DIGITS, 12, 1, CPU)

    assert [8, 8] == [len(targets) for _, targets in plain]
    assert [12, 8, 12, 8] == [len(targets) for _, targets in tuned]


def test_yardsticks_optimizers_keep_class_and_values():
    """The plain one updates tensor by tensor without decay, the tuned one all at once with it."""
    weight = torch.nn.Parameter(torch.ones(3))
    fast = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.1, fused=True)
    plain, tuned = plain_optimizer(fast), tuned_optimizer(fast)
    names = ("momentum", "weight_decay", "fused", "foreach")

    assert isinstance(plain, torch.optim.SGD)
    assert (0.9, 0, False, False) == tuple(plain.param_groups[0][name] for name in names)
    assert (0.9, 0.1, False, True) == tuple(tuned.param_groups[0][name] for name in names)


NUMBERS = {
    "nvmlDeviceGetTotalEnergyConsumption": 5000,
    "nvmlDeviceGetPowerUsage": 300_000,
    "nvmlDeviceGetTemperature": 41,
    "nvmlDeviceGetClockInfo": 1980,
}


class Library:
    """Stands in for NVIDIA's management library."""

    def __getattr__(self, name):
        """Return the function *name*; one that sets a number does that in its last argument."""

        def function(*words):
            if name == "nvmlSystemGetDriverVersion":
                words[0].value = b"570.1"
            elif name in NUMBERS:
                words[-1]._obj.value = NUMBERS[name]
            return 0 if self.answers(name) else 3

        return function

    def answers(self, name):
        """Whether a function succeeds."""
        return True


def test_meter_reads_driver_clocks_and_energy(monkeypatch):
    """Units are those of people: joules, watts, megahertz; what is not told is None."""
    meter, found = Meter(Library(), "GPU-1"), lambda *_: 0
    monkeypatch.setattr(Library, "answers", lambda _, name: "Power" not in name)

    assert ("570.1", 5.0) == (meter.driver(), meter.joules())
    assert {"sm_mhz": 1980, "memory_mhz": 1980, "watts": None, "celsius": 41} == meter.state()
    monkeypatch.setattr(Library, "answers", lambda _, name: False)
    with pytest.raises(OSError, match="nvmlInit"):
        Meter(Library(), "GPU-1")
    assert meter.joules() is Meter.of(CPU) is None
    meter = Meter(SimpleNamespace(nvmlInit_v2=found, nvmlDeviceGetHandleByUUID=found), "GPU-1")
    assert meter.joules() is None


def invoke(*words):
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["bench", *map(str, words)])


def test_wrong_rows_and_regressions_are_loud(report, monkeypatch, tmp_path):
    """Both are told on standard error and end in exit code 1; the file has every number."""
    bad = Check(name="one step", passed=False, words="loss 0.5 from float64")
    monkeypatch.setattr("normbench.bench.engine_row.after_one_step", lambda *_, **__: bad)
    monkeypatch.setattr("normbench.bench.measure.measure_roof", lambda *_: Roof(1e11, 1e10))
    asked = ("digits_cnn_bn", "momentum", "problem.batch_size=32", "--device", "cpu")
    asked += ("--examples", 64, "--rounds", 1, "--rows", "deepobs,eager")
    before = tmp_path / "before.json"
    plain = invoke(*asked, "--output", before)
    content = json.loads(before.read_text())
    content["rows"][1]["training"]["ratio"] = dict.fromkeys(("median", "low", "high"), 1e6)
    before.write_text(json.dumps(content))
    result = invoke(*asked, "--against", before, "--format", "json", "--tolerance", 0.99)

    assert 1 == plain.exit_code == result.exit_code, plain.output
    assert "WRONG: normbench eager does not compute what it should" in plain.stderr
    assert "REGRESSED: normbench eager, training alone" in result.stderr
    words = [change["word"] for change in json.loads(result.stdout)["against"]["changes"]]
    assert ["alike", "regressed", "alike"] == words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Give a PROBLEM"),
        (("digits_cnn", "--norms", "fp32"), "give no PROBLEM"),
        (("digits_cm",), "Did you mean 'digits_cnn'"),
        (("digits_cnn", "--rows", "deepobs,pil"), "unknown row 'pil'"),
        (("digits_cnn", "--rows", ","), "names none"),
        (
            ("digits_cnn", "sgd", "--examples", 64, "problem.batch_size=65"),
            "a batch of digits_cnn has 65",
        ),
        (("digits_cnn", "lbfgs"), "takes a closure"),
        (("digits_cnn", "--rows", "graph"), "nothing was measured"),
        (("digits_cnn", "--output", "bench.html"), "expected a name that ends in .json"),
        (("digits_cnn", "--tolerance", 1), "--tolerance"),
        (("digits_cnn", "--workers", 0), "--workers"),
        (("cifar10_3c3d",), "normbench prepare"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(words, expected, tmp_path):
    """Exit code 2 before anything is measured."""
    result = invoke(*words, "--device", "cpu", "--data-dir", tmp_path)

    assert 2 == result.exit_code, result.output
    assert expected in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[]", "is of kind None"),
        ('{"kind": "bench", "schema": 1}', "has schema 1"),
        ('{"kind": "bench_norms", "schema": 1}', "is of kind 'bench_norms': expected 'bench'"),
        ('{"kind": "bench", "schema": 2, "rows": 3}', "is damaged"),
        ('{"kind": "bench", "schema": 2, "rows": NaN}', "NaN"),
    ],
)
def test_damaged_report_is_answered_with_a_sentence(text, expected, tmp_path):
    """What is wrong with the file, and what writes a right one."""
    file = tmp_path / "bench.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(UsageError, match=expected):
        read_report(file)


def test_rows_are_taken_in_their_order():
    """Ratios are over the first row asked for; loader processes are no more than cores."""
    wanted = Wanted(rows=rows_named("eager, tuned"), workers=1, deterministic=(True,))

    assert ["tuned", "eager"] == wanted.rows
    assert "tuned DataLoader loop, 1 worker" == first_name(wanted)
    assert 1 <= loader_workers(10**6) < 10**6


@pytest.fixture
def recording(monkeypatch):
    """Let the processor record, as a GPU does; each replay takes it long, so few are compared."""
    monkeypatch.setattr("normbench.bench.correctness.STEPS", 6)
    path = Path(__file__).parent / "engine" / "processor_recorder.py"
    recorder = runpy.run_path(str(path))["Recorder"]
    monkeypatch.setitem(RECORDERS, "cpu", lambda device, generators: recorder())
    monkeypatch.setattr("normbench.engine.ladder.check_engine", lambda engine, device: None)


def captured(material, *rows):
    """Return what a call finds for *rows* of the engine."""
    wanted = Wanted(rows=rows, workers=1, runs=2, deterministic=(True,))
    return bench(material, wanted, {}, rounds=1, command="")


def test_graph_and_pack_are_rows_like_the_others(material, recording):
    """Captured steps are eager's to the bit, and each run of a pack is what it is alone."""
    report = captured(material, "eager", "graph", "pack")
    names = ["normbench eager", "normbench graph", "normbench pack of 2"]
    passed = {row.name: [check.passed for check in row.checks] for row in report.rows}

    assert dict(zip(names, ([True], [True, True], [True]), strict=True)) == passed
    assert "each of 2 runs equal" in report.rows[2].checks[0].words
    bare = [f"the bare steps and evaluation of {name}" for name in names]
    assert bare == [each.over for each in report.extras]
    assert {} == report.left_out


def test_rung_that_does_not_hold_is_no_row(material, recording, monkeypatch):
    """A graph that fell back is named with the reason, never measured under its name."""
    monkeypatch.setattr("normbench.engine.graph.unequal", lambda *_: "a weight differs")
    wanted = Wanted(rows=("eager", "graph", "pack"), workers=1, runs=2, deterministic=(True,))
    lineup = Lineup(material, wanted)
    lineup.drop_fallen()
    lineup.close()

    assert ["normbench eager"] == [row.name for row in lineup.contenders]
    assert "fell back to eager" in lineup.left_out["normbench graph"]
    assert "whole captured steps" in lineup.left_out["normbench pack of 2"]


def test_run_of_a_pack_that_differs_is_found_out(material, recording, monkeypatch):
    """What happens to one run of the pack shows in its check."""
    end = Together.end

    def disturbed(together):
        with torch.no_grad():
            next(together.sessions[1].network.parameters()).add_(1e-3)
        return end(together)

    monkeypatch.setattr(Together, "end", disturbed)
    row = PackRow("pack", material, 2, deterministic=True)
    (check,) = row.checks()

    assert check.passed is False
    assert check.words.startswith("run 2: ")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captured_rows_compute_what_eager_does_on_cuda(data):
    """Graph, compiled graph and pack stand in the table, each with its checks passed."""
    spec = resolve(Request(problem="digits_cnn_bn", optimizer="momentum", seeds=1), CATALOGUE)[0]
    device = torch.device("cuda:0")
    with temporary_journal() as journal:
        material = gather(spec, CATALOGUE, data, device, 512, journal)
        report = captured(material, "eager", "graph", "compile", "pack")

    assert not report.left_out
    assert not report.wrong
    assert [True, True] == [check.passed for check in report.rows[1].checks]
    assert all(row.joules is None or row.joules > 0 for row in report.rows)
