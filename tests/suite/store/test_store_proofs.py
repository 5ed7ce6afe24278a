"""Files that are whole and yet wrong: another run's, or at odds with themselves."""

from __future__ import annotations

import dataclasses
import json

import pytest

from normbench.errors import DamagedFileError
from normbench.specs import fingerprints_of
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
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_makes_a_damaged_run(store, make_spec, tmp_path, name):
    """Whoever reads it is told, as is a check, which asks no index; the run beside it counts."""
    file, place, value, words = WRONG[name]
    runs = [store.add(make_spec(seed)) for seed in (0, 1)]
    for run in runs:
        run.claim({}).publish(RESULT)
    assert not store.index().damaged
    path = runs[0].path / file
    content = json.loads(path.read_text())
    within = content
    for step in place[:-1]:
        within = within[step]
    within[place[-1]] = value
    path.unlink()
    path.write_text(json.dumps(content, indent=1, sort_keys=True))
    index, damaged = RunStore.open(store.root).index(), runs[0].fingerprint
    merged = merge_store(store.root, RunStore.open(tmp_path / "target", create=True))
    checked = {each: [*check_run(store.root, each)] for each in list_fingerprints(store.root)}

    assert {damaged} == index.damaged.keys() == index.lost.keys()
    assert words in index.damaged[damaged]
    with pytest.raises(DamagedFileError, match=str(path)):
        store.get(damaged).result()
    assert (1, 1) == (merged.added, merged.failed)
    assert words in str(checked[damaged][0])
    assert [] == checked[runs[1].fingerprint]


@pytest.mark.parametrize(
    ("scoring", "result"),
    [
        (("test_accuracy", "final", "max", 0.1), {"score": 0.8}),
        (("test_accuracy", "final", "max", 0.1), {"outcome": "diverged", "score": 0.1}),
        (("test_loss", "final", "min", 228.5), {"score": 228.5}),
        (("test_loss", "final", "min", 228.5), {"score": 300.0}),
        (("test_accuracy", "best", "max", 0.1), {"score": 0.3}),
        (("test_perplexity", "final", "min", 9.0), {"score": 0.3}),
        (("test_loss", "final", "min", 9.0), {"score": 0.3, "metric": "test_accuracy"}),
        (("test_accuracy", "final", "max", 0.1), {"score": None}),
    ],
)
def test_what_is_not_certainly_wrong_is_believed(run, scoring, result):
    """A bounded loss, an older unbounded one, and a score of which the result holds nothing."""
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
