"""Seeds added until decided: where it stops, what it declares, and what it keeps."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

import normbench
from normbench import UsageError, api, tracking
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted, comparable_rows
from normbench.leaderboard.reading import StoreReader
from normbench.leaderboard.showing import note_judged
from normbench.resolve import Request
from normbench.staging import Staging, plan_stages, run_staged
from normbench.staging.conduct import introduction
from normbench.store import RunStore, add_shown, declare, merge_store, read_declarations

STAGES = {"stages": (5, 10, 15)}


def around(**means: float):
    """Return scores around a mean for each optimizer, the same for the same seed."""

    def score(spec) -> float:
        drawn = random.Random(f"{spec.optimizer.name} {spec.norm.name} {spec.seed}")
        return min(1.0, means.get(spec.optimizer.name, 0.9) + drawn.gauss(0, 0.02))

    return score


def alike(spec) -> float:
    """Return scores that no test tells apart, nor shows to be equivalent."""
    side = 1 if spec.optimizer.name == "momentum" else -1
    return 0.9 + side * (-1) ** spec.seed * 0.02 + 0.0001 * spec.seed


def entry_of(trainer, optimizer: str = "adam", problem: str = "digits_cnn_bn", norm="batch_norm"):
    reader = StoreReader(RunStore.open(trainer.store))
    board = make_boards(reader, trainer.catalogue, Wanted(problems=(problem,)))[0]
    found = [e for e in board.entries if (e.row.optimizer, e.row.norm) == (optimizer, norm)]
    return board, found[0]


@pytest.mark.parametrize(("mean", "verdict"), [(0.99, "better"), (0.8, "worse")])
def test_it_stops_at_the_first_stage_that_decides(trainer, mean, verdict):
    """Five seeds of the row and of the reference, which was not there, are all that is trained."""
    trainer.score = around(adam=mean)
    decision = trainer.staged()

    assert (verdict, 5, True) == (decision.verdict, decision.stage, decision.decided)
    assert {("adam", s) for s in range(5)} | {("momentum", s) for s in range(5)} == set(
        trainer.launches[0]
    )
    assert 1 == len(trainer.launches)
    assert f"Decided at stage 5 of 5, 10, 15, 20: batch_norm adam is {verdict}" in decision.why


def test_it_stops_where_the_rows_are_equivalent(trainer):
    """A difference far below the smallest one of interest needs no more seeds."""
    trainer.score = lambda spec: 0.9 + 0.0001 * (spec.optimizer.name == "adam") * (spec.seed % 3)
    decision = trainer.staged()

    assert ("equivalent", 5) == (decision.verdict, decision.stage)
    assert entry_of(trainer)[1].comparison.p_equivalent == decision.looks[0].p
    assert "two one-sided tests" in decision.why


def test_mlflow_gets_what_was_decided(trainer, monkeypatch):
    """The last copy is made once the decision is written; that it failed is said."""
    seen = []

    class Copying:
        behind = "MLflow is away"

        def __init__(self, store):
            seen.extend(each.decision for each in read_declarations(store.root).values())

        def start(self):
            return self

        stop = start

    monkeypatch.setattr(tracking, "Collector", Copying)
    trainer.score = around(adam=0.99)
    request = Request(problem="digits_cnn_bn", optimizer="adam")
    launching = api.Launching(store=trainer.store)
    report = run_staged(Staging(request=request), trainer.catalogue, launching)

    assert ["better"] == [each.verdict for each in seen if each]
    assert Copying.behind == report.behind


def test_undecided_rows_get_all_stages_and_say_so(trainer):
    """Each launch trains the seeds that its stage adds, to both rows, and the last is the end."""
    trainer.score = alike
    decision = trainer.staged(**STAGES)

    assert ([10, 10, 10], False) == ([len(runs) for runs in trainer.launches], decision.decided)
    assert [5, 10, 15] == [look.stage for look in decision.looks]
    assert "Undecided after all stages, 5, 10, 15" in decision.why
    assert "no evidence" in decision.why


def test_stages_are_declared_before_anything_is_trained(trainer):
    """The store has them when the first launch begins, for the row and for its reference."""
    trainer.score = around(adam=0.99)
    decision = trainer.staged(max_seeds=12)
    declared = read_declarations(trainer.store)

    assert trainer.declared
    assert (5, 10, 12) == declared[decision.row].stages == declared[decision.reference].stages
    assert tuple(range(12)) == declared[decision.row].seeds
    assert decision.row == declared[decision.reference].reference_of
    assert declared[decision.row].decision.reference_declared


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_an_interrupted_call_goes_on_where_it_was(trainer, stop):
    """After Ctrl-C in any stage the same call trains the rest, and no run twice."""
    trainer.score, trainer.stop = alike, stop
    with pytest.raises(KeyboardInterrupt):
        trainer.staged(**STAGES)
    declared = read_declarations(trainer.store)
    trainer.stop = -1
    decision = trainer.staged(**STAGES)
    trained = [run for launch in trainer.launches for run in launch]

    assert (30, 30) == (len(trained), len(set(trained)))
    assert declared == {
        row: replace(each, decision=None) for row, each in read_declarations(trainer.store).items()
    }
    assert 15 == decision.stage


def test_a_decided_row_is_looked_at_again_and_nothing_more(trainer):
    """The same call says the same and trains nothing."""
    trainer.score = around(adam=0.99)
    first, second = trainer.staged(), trainer.staged()

    assert [10, 0] == [len(runs) for runs in trainer.launches]
    assert first.why == second.why


def test_what_was_decided_stays_and_the_table_of_today_says_where_it_differs(trainer):
    """A row that joins the family and a reference trained later change the table, not the past."""
    trainer.score = lambda spec: around(adam=0.9165)(spec) + 0.004 * (spec.seed % 2)
    trainer.train("sgd", 5)
    first = trainer.staged()
    for optimizer in ("adamw", "momentum", "rmsprop", "nadam"):
        trainer.train(optimizer, 5)
    again = trainer.staged()
    board, entry = entry_of(trainer)

    assert ("better", "better", "batch_norm sgd") == (first.verdict, again.verdict, again.against)
    assert (first.looks[-1:], "no evidence") == (again.looks, again.today.verdict)
    assert first.why in again.why
    assert "The table of today, corrected over all of its rows, says:" in again.why
    assert ("sgd", "no evidence") == (board.reference.row.optimizer, entry.verdict)
    assert "batch_norm adam was `better`" in " ".join(board.notes)


def test_stages_without_a_declared_reference_notice_another_one(trainer):
    """Such as an older normbench wrote them: what is trained meanwhile is not looked at."""
    trainer.score = around(adam=0.99)
    trainer.train("sgd", 5)
    planned = plan_stages(
        Staging(request=Request(problem="digits_cnn_bn", optimizer="adam")),
        RunStore.open(trainer.store),
        trainer.catalogue,
        None,
    )
    declare(trainer.store, replace(planned.declaration, reference="", declared_at=1.0))
    launch = api.launch

    def with_another(*asked):
        trainer.train("momentum", 5)
        return launch(*asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "launch", with_another)
        changed = trainer.staged()

    assert "The reference of the table has changed meanwhile" in changed.why
    assert ((), False) == (changed.looks, changed.decided)
    assert "batch_norm momentum" == trainer.staged().against


def test_an_undecided_row_is_looked_at_once_more_at_its_last_stage(trainer):
    """What is trained already is no new look: the same call says what the last one said."""
    trainer.score = alike
    first, second = trainer.staged(**STAGES), trainer.staged(**STAGES)

    assert [15] == [look.stage for look in second.looks]
    assert first.looks[-1:] == second.looks
    assert first.why == second.why


def test_results_from_before_the_declaration_do_not_count(trainer):
    """Six seeds that somebody may have looked at stay in the mean; others are compared."""
    trainer.score = around(adam=0.99)
    trainer.train("adam", 6)
    decision = trainer.staged()
    board, entry = entry_of(trainer)

    assert (tuple(range(6)), 5) == (decision.before, decision.stage)
    assert (tuple(range(6, 11)), 11) == (entry.comparison.seeds, entry.n)
    assert "seeds from before its stages were declared: batch_norm adam 0-5" in " ".join(
        board.notes
    )


def test_reference_of_the_store_keeps_what_it_has(trainer):
    """Only the seeds that it lacks are trained; it may have more than the row."""
    trainer.score = alike
    trainer.train("momentum", 7)
    decision = trainer.staged(stages=(5, 10))
    _, entry = entry_of(trainer)

    assert [5, 8] == [len(runs) for runs in trainer.launches]
    assert {("momentum", seed) for seed in (7, 8, 9)} <= set(trainer.launches[1])
    assert (10, 10) == (entry.comparison.n, decision.stage)
    assert (7, 10) == read_declarations(trainer.store)[decision.reference].stages
    # What it was given for that row is no bound for another one.
    asked = Staging(request=Request(problem="digits_cnn_bn", optimizer="adamw"))
    another = plan_stages(asked, RunStore.open(trainer.store), trainer.catalogue, None)
    assert (5, 10, 15, 20) == another.declaration.stages


def test_a_table_shown_before_against_another_reference_is_named(trainer):
    """By any name of the problem; tables against the same one, or of later, are not."""
    trainer.train("sgd", 5)
    trainer.train("momentum", 5, problem="digits_cnn")
    store, seen = RunStore.open(trainer.store), {}
    for run in store.runs():
        seen.setdefault(run.spec.norm.name, run.spec.row)
    add_shown(store.root, 1e9, "digits_cnn", seen["none"], dict.fromkeys(seen.values(), 5))
    words = ("run", "digits_cnn_bn", "adam", "--until-decided", "--dry-run")
    said = " ".join(trainer.invoke(*words).stdout.split())

    assert (
        f"A table was shown on 2001-09-09 against digits_cnn none momentum standard (row "
        f"{seen['none'][:8]}); these stages are declared against batch_norm sgd (row "
        f"{seen['batch_norm'][:8]})."
    ) in said
    plain = Request(problem="digits_cnn", optimizer="adam")
    alike = plan_stages(Staging(request=plain), store, trainer.catalogue, None)
    assert "A table was shown" not in " ".join(introduction(alike))


def test_sgd_is_the_reference_where_it_has_results_and_momentum_has_none(trainer):
    """The rules are the table's: nothing is trained with momentum then."""
    trainer.train("sgd", 5)

    assert "batch_norm sgd" == trainer.staged().against
    assert {"adam"} == {optimizer for optimizer, _ in trainer.launches[0]}


def test_seeds_beyond_the_stages_change_no_verdict(trainer):
    """What a plain run adds later counts in the mean alone, and the table says so."""
    trainer.score = alike
    trainer.staged(stages=(5, 10))
    before = entry_of(trainer)[1].comparison
    trainer.score = around(adam=0.99)
    trainer.train("adam", 16)
    trainer.train("momentum", 16)
    board, entry = entry_of(trainer)

    assert (before.p, before.n, 16) == (entry.comparison.p, entry.comparison.n, entry.n)
    assert tuple(range(10, 16)) == entry.comparison.uncounted
    assert "no declared look has come to: batch_norm adam 10-15" in " ".join(board.notes)


def test_table_applies_the_stages_of_each_row(trainer):
    """A staged row pays for its looks; a row of as many fixed seeds beside it does not."""
    trainer.score = around(adam=0.905, adamw=0.905)
    trainer.staged(stages=(5, 10, 15, 20), max_seeds=20)
    trainer.train("adamw", 5)
    _, staged = entry_of(trainer)
    _, fixed = entry_of(trainer, "adamw")

    assert ((5, 10, 15, 20), ()) == (staged.comparison.stages, fixed.comparison.stages)
    assert (5, 5) == (fixed.comparison.n, fixed.n)
    assert staged.comparison.n in staged.comparison.stages


@pytest.fixture
def unbuilt(monkeypatch) -> None:
    """Let no network be built to see whether a norm fits, which would import torch."""
    monkeypatch.setattr("normbench.planning._unusual", lambda *_: False)


@pytest.mark.usefixtures("unbuilt")
def test_a_row_gets_seeds_that_count_for_a_reference_with_stages_of_its_own(trainer):
    """In its order, and by default as many as there are."""
    trainer.score = around(sgd=0.99)
    trainer.train("momentum", 4)
    trainer.staged("momentum", "digits_cnn", norm="batch_norm", stages=(5, 8))
    with pytest.raises(UsageError, match=r"only its seeds 4-11 count, and 8 of .* --max-seeds 8"):
        trainer.staged("sgd", max_seeds=10)
    decision = trainer.staged("sgd")
    _, entry = entry_of(trainer, "sgd")

    assert ("batch_norm momentum", (5, 8), 5) == (
        decision.against,
        decision.stages,
        decision.stage,
    )
    assert tuple(range(4, 12)) == read_declarations(trainer.store)[decision.row].seeds
    assert (tuple(range(4, 9)), (5, 8)) == (entry.comparison.seeds, entry.comparison.stages)
    trainer.train("adam", 9)
    with pytest.raises(UsageError, match=r"and 3 of them have no result .* Use another store"):
        trainer.staged("adam")


def test_no_table_is_made_for_the_lines_of_rows_of_two_seeds(trainer, monkeypatch):
    """They get no verdict, so there is nothing to note of them."""
    trainer.train("momentum", 5)
    trainer.train("adam", 2)
    reader = StoreReader(RunStore.open(trainer.store))
    rows = comparable_rows(reader, trainer.catalogue, Wanted())
    monkeypatch.delattr("normbench.leaderboard.boards.with_verdicts")

    assert b"" == note_judged(reader, trainer.catalogue, Wanted(), rows)


@pytest.mark.usefixtures("unbuilt")
def test_a_reference_that_got_seeds_is_a_row_of_fixed_seeds_where_it_is_compared(trainer):
    """As in the table of the twin problem; it can have no stages of its own any more."""
    trainer.score = alike
    trainer.train("momentum", 1)
    trainer.staged(stages=(5, 10))
    trainer.train("momentum", 10, problem="digits_cnn")
    board, entry = entry_of(trainer, "momentum", "digits_cnn")

    assert "none" == board.reference.row.norm
    assert ((), 10) == (entry.comparison.stages, entry.comparison.n)
    with pytest.raises(UsageError, match="got seeds as the reference of another row"):
        trainer.staged("momentum", "digits_cnn", norm="batch_norm")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "5"), "chooses the seeds itself, but --seeds was given"),
        (("--seeds", "3,7"), "chooses the seeds itself, but --seeds was given"),
        (("--enqueue",), "--enqueue waits for none"),
        (("--max-seeds", "4"), "expected 5 or more"),
        (("--stages", "3,6"), "expected 5 or more"),
        (("--stages", "10,5"), "expected growing numbers"),
        (("--stages", "5,x"), "expected numbers of seeds such as 5,10,20"),
        (("--stages", "5,10", "--max-seeds", "11"), "above the last of the stages, 10"),
        (("--max-seeds", "100000"), "from where on seeds are kept for tuning"),
    ],
)
def test_what_makes_no_sense_is_refused(trainer, words, message):
    """The message says what to do, and nothing is made."""
    done = trainer.invoke("run", "digits_cnn_bn", "adam", "--until-decided", *words)

    assert 2 == done.exit_code
    assert message in done.stderr
    assert not trainer.store.exists()


def test_stages_without_until_decided_are_refused(trainer):
    """So are their keywords in Python, and seeds in a file of words."""
    done = trainer.invoke("run", "digits_cnn_bn", "adam", "--max-seeds", 10)
    file = trainer.store.with_name("words.yaml")
    file.write_text("seeds: 4\n")

    assert "only with --until-decided" in done.stderr
    with pytest.raises(UsageError, match="only with until_decided=True"):
        normbench.run("digits_cnn_bn", "adam", stages=(5, 10), store=trainer.store)
    with pytest.raises(UsageError, match=r"but seeds in .*words.yaml was given"):
        normbench.run("digits_cnn_bn", "adam", until_decided=True, config=file, store=trainer.store)


def test_the_reference_itself_is_refused(trainer):
    """There is nothing to decide about it; with a setting of its own it is a row like others."""
    with pytest.raises(UsageError, match="what the other rows of its table are compared with"):
        trainer.staged("momentum")
    report = normbench.run(
        "digits_cnn_bn", "momentum", lr=0.3, until_decided=True, store=trainer.store, track=False
    )

    assert ("batch_norm momentum lr=0.3", "batch_norm momentum") == (
        report.decision.label,
        report.decision.against,
    )


def test_other_stages_than_declared_are_refused(trainer):
    """Also more of them; without a word of stages the declared ones go on."""
    trainer.score = alike
    trainer.staged(stages=(5, 10))

    with pytest.raises(UsageError, match=r"after 5, 10 seeds .*but now 5, 10, 15 are asked for"):
        trainer.staged(max_seeds=15)
    assert (5, 10) == trainer.staged().stages == trainer.staged(max_seeds=10).stages
    assert 20 == sum(len(runs) for runs in trainer.launches)


def test_failed_runs_leave_nothing_to_look_at(trainer):
    """It stops, says how many, and exits with 1; the next call tries them again."""
    trainer.score = lambda spec: None if spec.seed == 3 else 0.9
    failed = trainer.invoke("run", "digits_cnn_bn", "adam", "--until-decided", "--no-track")
    trainer.score = around(adam=0.99)
    decision = trainer.staged()

    assert 1 == failed.exit_code
    assert "Stopped at stage 5: 2 runs of it without a result" in failed.stdout
    assert [("adam", 3), ("momentum", 3)] == sorted(trainer.launches[1])
    assert 5 == decision.looks[0].stage


def test_launcher_that_does_not_wait_is_followed_by_the_same_command(trainer):
    """Nothing is looked at before its runs have ended, and no seeds of the next stage come."""
    trainer.going_on = "see: squeue"
    done = trainer.invoke("run", "digits_cnn_bn", "adam", "--until-decided", "--no-track")
    trainer.going_on = ""
    decision = trainer.staged()

    assert 0 == done.exit_code
    assert "Stage 5 is being trained. Give the same command again" in " ".join(done.stdout.split())
    assert [10, 10] == [len(runs) for runs in trainer.launches[:2]]
    assert decision.looks


def test_json_and_python_say_the_same(trainer):
    """The decision stands beside the rows, with every look, in strict JSON."""
    trainer.score = around(adam=0.99)
    words = ("run", "digits_cnn_bn", "adam", "--until-decided", "--no-track", "--json")
    shown = json.loads(trainer.invoke(*words).stdout)
    report = normbench.run(
        "digits_cnn_bn", "adam", until_decided=True, store=trainer.store, track=False
    )

    assert ("better", 5, True) == tuple(
        shown["decision"][name] for name in ("verdict", "stage", "decided")
    )
    assert shown["decision"] == json.loads(json.dumps(report.to_dict()))["decision"]
    assert report.decision.why in str(report)
    assert (
        "decision"
        not in normbench.run(
            "digits_cnn_bn", "adam", seeds=1, store=trainer.store, track=False
        ).to_dict()
    )


def test_dry_run_shows_the_stages_and_writes_nothing(trainer):
    """Seeds and runs of each stage, the reference, and whether it is to be trained."""
    words = ("run", "digits_cnn_bn", "adam", "--until-decided", "--dry-run", "--max-seeds", 12)
    shown = trainer.invoke(*words)
    content = json.loads(trainer.invoke(*words, "--json").stdout)

    assert not trainer.store.exists()
    assert "it is trained too" in " ".join(shown.stdout.split())
    assert [5, 10, 12] == [stage["stage"] for stage in content["stages"]]
    assert [10, 20, 24] == [len(stage["runs"]) for stage in content["stages"]]


def test_every_table_says_that_rows_were_staged(trainer):
    """compare, norms, optimizers and the leaderboard apply the stages and name them."""
    trainer.score = alike
    trainer.staged(stages=(5, 10))
    trainer.train("adam", 12)
    trainer.train("momentum", 12)
    for command in (
        ("leaderboard",),
        ("compare", "adam", "momentum"),
        ("optimizers",),
    ):
        done = trainer.invoke(*command)
        text = " ".join(done.stdout.split())

        assert "declared stages" in text, (command, done.stderr)
        assert "corrected for stopping" in text, command
    trainer.invoke("leaderboard")
    (shown,) = (trainer.store / "shown.jsonl").read_text().split()
    here = RunStore.open(trainer.store.with_name("here"), create=True)
    for _ in range(2):
        merge_store(trainer.store, here)

    assert 10 in json.loads(shown)["rows"].values()
    assert [shown] == (here.root / "shown.jsonl").read_text().split()
    duel = json.loads(trainer.invoke("compare", "adam", "momentum", "--format", "json").stdout)[0]
    _, entry = entry_of(trainer)

    assert [*range(10)] == duel["comparison"]["seeds"]
    assert pytest.approx(min(1.0, 2 * min(entry.comparison.p))) == duel["p_two_sided"]


@pytest.mark.parametrize(("seeds", "late"), [(3, True), (0, False)])
def test_stages_declared_elsewhere_after_results_came_here_are_marked(trainer, seeds, late):
    """A merge cannot know who looked at seeds that were here before; it says that they were."""
    here = RunStore.open(trainer.store.with_name("here"), create=True)
    there, trainer.store = trainer.store, here.root
    if seeds:
        trainer.train("adam", seeds)
    trainer.store = there
    trainer.score = around(adam=0.99)
    decision = trainer.staged()
    for _ in range(2):
        merge_store(there, here)
    trainer.store = here.root
    _, entry = entry_of(trainer)

    assert late == read_declarations(here.root)[decision.row].late
    assert ("exploratory" if late else "better") == entry.verdict
    if late:
        with pytest.raises(UsageError, match="its verdicts stay exploratory"):
            trainer.staged()
