"""Files that are whole and yet wrong: another run's, or at odds with themselves."""

from __future__ import annotations

import dataclasses
import json
from functools import reduce
from operator import getitem

import pytest

from normbench.errors import DamagedFileError
from normbench.rules import Rules
from normbench.specs import ProtocolSpec, fingerprints_of
from normbench.store import RunStore, merge_store
from normbench.store.checking import check_run, list_fingerprints
from normbench.store.proofs import Scoring, read_result

PARTS = {"validation": {"accuracy": 0.7}, "test": {"accuracy": 0.8, "loss": 300.0}}
RESULT = {"outcome": "finished", "metric": "test_accuracy", "score": 0.8, "final": PARTS}
OTHER = "0123456789abcdef" * 2
WRONG = {
    "another run's result": ("result.json", ("fingerprint",), OTHER, f"the result of run {OTHER}"),
    "another score": ("result.json", ("score",), 7.5, "its score is 7.5, and its final test"),
    "no accuracy": ("result.json", ("final", "test", "accuracy"), 7.5, "7.5, expected 0 to 1"),
    "too good a score": ("result.json", (), {"outcome": "finished", "score": 7.5}, "is 7.5, exp"),
    "no final numbers": ("result.json", ("final",), {}, "0.8, and it has no final test accuracy"),
    "no numbers": (
        "result.json",
        (),
        {"outcome": "finished", "metric": "test_accuracy", "score": 0.8},
        "0.8, and it has no final test accuracy",
    ),
    "another metric": ("result.json", ("metric",), "test_loss", "its spec's is test_accuracy"),
    "a score in words": ("result.json", ("score",), "high", "its score is 'high', expected"),
    "a score beyond all": ("result.json", ("score",), 10**400, "expected a finite number"),
    "no score": ("result.json", (), {"outcome": "diverged"}, "its score is missing"),
    "no result's outcome": ("result.json", ("outcome",), "failed", "outcome is failed, and a res"),
    "no score of a diverged run": ("result.json", ("outcome",), "diverged", "run has 0.1"),
    "another seed": ("spec.json", ("seed",), 7, "holds the spec of run"),
    "another identity": (
        "spec.json",
        ("identity", "optimizer", "parameters", "lr"),
        0.2,
        "its optimizer has lr=0.1, and its identity says 0.2",
    ),
    "another rate": (
        "spec.json",
        ("optimizer", "parameters", "lr"),
        0.2,
        "its optimizer has lr=0.2, and its identity says 0.1",
    ),
    "another ablation": (
        "spec.json",
        ("ablation", "scale_init"),
        0.2,
        "its ablation has scale_init=0.2, and its identity says 0.1",
    ),
    "another rule": (
        "spec.json",
        ("identity", "protocol", "rules"),
        {"milestones": [0.1]},
        "its protocol has milestones=[0.5, 0.75], and its identity says [0.1]",
    ),
    "another direction": ("spec.json", ("problem", "metric", "direction"), "min", "was changed"),
    "another default": ("spec.json", ("protocol", "rules", "epoch_share"), 2.0, "was changed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_makes_a_damaged_run(store, make_spec, tmp_path, name):
    """Whoever reads it is told, as is a check, which asks no index; the run beside it counts.

    That one's spec is as older versions wrote it, without a checksum. A contradiction is told in
    such a spec, too.
    """
    file, place, value, words = WRONG[name]
    runs = [store.add(make_spec(seed)) for seed in (0, 1)]
    for run in runs:
        run.claim({}).publish(RESULT)
    assert not store.index().damaged
    path = runs[0].path / file
    content = json.loads(path.read_text())
    if place:
        *steps, last = place
        reduce(getitem, steps, content)[last] = value
    else:
        content = value
    if "says" in words:
        del content["checksum"]
    path.unlink()
    path.write_text(json.dumps(content, indent=1, sort_keys=True))
    (runs[1].path / "spec.json").write_text(f"{runs[1].spec.to_json()}\n")
    index, damaged = RunStore.open(store.root).index(), runs[0].fingerprint
    merged = merge_store(store.root, RunStore.open(tmp_path / "target", create=True))
    checked = {each: [*check_run(store.root, each)] for each in list_fingerprints(store.root)}

    assert {damaged} == index.damaged.keys() == index.lost.keys()
    assert words in index.damaged[damaged]
    with pytest.raises(DamagedFileError, match=str(path)):
        store.get(damaged).result()
    assert (1, 1) == (merged.added, merged.failed)
    (told,) = map(str, checked[damaged])
    published = f"{path} is not what the run's attempt published: "
    assert (words if file == "spec.json" else published) in told
    assert [] == checked[runs[1].fingerprint]


@pytest.mark.parametrize(
    ("result", "copy", "words"),
    [
        ({"score": 7.5}, {}, "{result} is not what the run's attempt published: {copy}. Put that "),
        ({"seconds": 3}, {}, "{copy}. Put that in its place, or restore both from a backup."),
        ({}, {"score": 7.5}, "{copy} is damaged: it is not the result that it was published as"),
        ({"score": 7.5}, {"score": 8.5}, "{result} is damaged: its score is 7.5"),
    ],
)
def test_a_check_gives_one_remedy_for_a_result(run, result, copy, words):
    """The attempt's copy is compared, and is the remedy where it is whole."""
    run.claim({}).publish(RESULT)
    places = {"result": run.path / "result.json", "copy": run.path / "attempts/0001/result.json"}
    for path, change in zip(places.values(), (result, copy), strict=True):
        path.unlink()
        path.write_text(json.dumps({**RESULT, **change}))
    (told,) = map(str, check_run(run.path.parents[2], run.fingerprint))

    assert words.format(**places) in told
    assert ("backup" in told) is ("seconds" in result or copy == {"score": 8.5})


def test_a_result_is_scored_by_the_rule_of_its_protocol(make_spec):
    """The best epoch counts where the protocol says so."""
    best = ProtocolSpec(name="standard", rules=Rules(select="best"))

    assert ("test_accuracy", "final", "max", 0.1) == Scoring.of(make_spec())
    assert ("test_accuracy", "best", "max", 0.1) == Scoring.of(make_spec(protocol=best))


@pytest.mark.parametrize(
    ("scoring", "result"),
    [
        (("test_accuracy", "final", "max", 0.1), {"score": 0.8}),
        (("test_accuracy", "final", "max", 0.1), {"outcome": "diverged", "score": 0.1}),
        (("test_loss", "final", "min", 228.5), {"score": 228.5}),
        (("test_loss", "final", "min", 228.5), {"score": 300.0}),
        (("test_accuracy", "best", "max", 0.1), {"score": 0.8, "best": PARTS, "final": {}}),
        (
            ("test_accuracy", "final", "max", 0.1),
            {"outcome": "diverged", "score": 0.1, "final": {}},
        ),
    ],
)
def test_what_is_not_certainly_wrong_is_believed(run, scoring, result):
    """A bounded loss, an older unbounded one, and the numbers of another epoch."""
    result = {**RESULT, "metric": scoring[0], **result}
    (run.path / "result.json").write_text(json.dumps(result))

    assert result == read_result(run.path, Scoring(*scoring))


def test_fingerprints_of_many_seeds_are_those_of_their_specs(make_spec):
    """Wherever the seed stands among the keys, and whatever is called a seed elsewhere."""
    for more in ({}, {"zeta": {"seed": None}}, {"files": {"norm": "ä"}}):
        spec = make_spec(identity={**make_spec().identity, **more})
        known = fingerprints_of(spec.identity)
        seeds = (0, 1, 100_007)

        assert [dataclasses.replace(spec, seed=seed).fingerprint for seed in seeds] == [
            known(seed) for seed in seeds
        ]
    assert fingerprints_of({})(3) == make_spec(3, identity={}).fingerprint
