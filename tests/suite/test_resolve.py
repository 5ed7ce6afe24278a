"""A request becomes specs: every value traceable, every identity stable."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import Parameter, PluginError, Setting, UsageError
from normbench.build import build_network
from normbench.overrides import parse_mask
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec

CATALOGUE = load_catalogue()


def specs(problem="digits_cnn_bn", optimizer="sgd", **request):
    """Return the specs of a request with built-in plugins."""
    return resolve(Request(problem=problem, optimizer=optimizer, **request), CATALOGUE)


def spec(*arguments, **request):
    """Return the first spec of a request."""
    return specs(*arguments, **request)[0]


def test_twin_equals_its_base_with_the_norm():
    """X_bn and X --norm batch_norm are one cell, run by run."""
    twin = specs("digits_cnn_bn")
    base = specs("digits_cnn", norm="batch_norm")

    assert [run.fingerprint for run in twin] == [run.fingerprint for run in base]


def test_twin_with_another_norm_is_the_base_with_it():
    """The norm asked for replaces the twin's."""
    assert spec("digits_cnn", norm="group_norm").fingerprint == spec(norm="group_norm").fingerprint


def test_all_zero_mask_equals_no_norm():
    """A norm at no site is none, and its ablation means nothing."""
    masked = spec(sites=(0, 0, 0), ablation="fixed")

    assert spec("digits_cnn").fingerprint == masked.fingerprint
    assert (0, 0, 0) == masked.ablation.sites


@pytest.mark.parametrize("request_", [{"ablation": "fixed"}, {"words": ["ablation.scale_init=2"]}])
def test_ablation_without_a_norm_is_refused(request_):
    """There is nothing that it could mean."""
    with pytest.raises(UsageError, match="runs without a norm"):
        spec("digits_cnn", **request_)


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("epochs=3", "protocol.epochs="),
        ("batch_size=3", "problem.batch_size="),
        ("scale_init=3", "ablation.scale_init="),
        ("norm=group_norm", "--norm "),
    ],
)
def test_word_that_belongs_elsewhere_is_told_its_place(word, place):
    """A bare word is the optimizer's; the error names the section it was meant for."""
    with pytest.raises(UsageError, match=f"Did you mean {place}"):
        spec(words=[word])


def test_all_one_mask_equals_no_mask():
    """A norm at every site is the default."""
    assert spec().fingerprint == spec(sites=(1, 1, 1)).fingerprint


def test_value_equal_to_its_default_is_no_change():
    """Saying what holds anyway does not make another run."""
    default = spec().optimizer.number("lr")

    assert spec().row == spec(words=[f"lr={default}", "norm.eps=1e-5"]).row


def test_every_kind_of_word_changes_the_identity():
    """Each section's words make another row."""
    words = [
        "lr=0.03",
        "problem.batch_size=64",
        "norm.eps=0.001",
        "ablation.scale_init=0.1",
        "protocol.epochs=3",
        "network.bias=always",
    ]
    rows = {spec(words=[word]).row for word in words}

    assert len(words) == len(rows - {spec().row})


@pytest.mark.parametrize(
    ("problem", "one", "other"),
    [
        ("digits_cnn", ["protocol.epochs=20"], []),
        ("digits_cnn", ["protocol.epochs=5"], ["problem.epochs=5"]),
        ("digits_cnn", ["protocol.epochs=10"], ["protocol.epoch_share=0.5"]),
        ("digits_cnn", ["weight_decay=0.1"], ["problem.weight_decay=0.1"]),
        ("digits_cnn", ["weight_decay=0.1"], ["protocol.weight_decay=0.1"]),
        ("digits_cnn", ["protocol.step_factor=0.3"], []),
        ("digits_cnn", ["protocol.evaluation_batch_size=3"], []),
        (
            "cifar10_3c3d",
            ["problem.augmentation=flip,pad_crop:1"],
            ["problem.augmentation=pad_crop:1,flip"],
        ),
    ],
)
def test_words_of_one_effect_are_one_run(problem, one, other):
    """The identity holds what takes effect, however it was said."""
    assert spec(problem, words=one).fingerprint == spec(problem, words=other).fingerprint


def test_weight_decay_that_would_not_arrive_is_refused():
    """AdamW keeps its own decay, so the problem's cannot be set for it in silence."""
    with pytest.raises(UsageError, match="do not reach adamw"):
        spec("digits_cnn", "adamw", words=["problem.weight_decay=0.3"])


@pytest.mark.parametrize("part", ["problem", "norm", "optimizer", "protocol"])
def test_version_of_every_part_is_in_the_identity(part):
    """A change of results raises a version, and with it every fingerprint."""
    run = spec()
    raised = {**run.identity, part: {**run.identity[part], "version": 99}}

    assert 1 == run.identity[part]["version"]
    assert run.fingerprint != replace(run, identity=raised).fingerprint


def test_tuning_seeds_make_a_row_of_their_own():
    """A trial is the same run at another seed, but no mean takes it in."""
    run = spec()
    trial = replace(run, seed=100_000)

    assert (False, True) == (run.tuning, trial.tuning)
    assert run.identity == trial.identity
    assert run.row != trial.row == replace(run, seed=100_001).row


def test_other_words_for_as_many_epochs_are_no_deviation():
    """quick trains a tenth of the 20 epochs of digits: saying two changes nothing."""
    run = spec(protocol="quick")
    same = spec(protocol="quick", words=[f"protocol.epochs={run.epochs}"])

    assert (run.row, ()) == (same.row, same.deviations)


def test_number_of_seeds_is_no_part_of_the_identity():
    """More seeds add runs to a row."""
    three, five = specs(seeds=3), specs(seeds=5)

    assert [run.fingerprint for run in three] == [run.fingerprint for run in five[:3]]
    assert 1 == len({run.row for run in five})
    assert 5 == len({run.fingerprint for run in five})


def test_protocol_gives_number_and_first_seed():
    """standard takes seeds 0 to 9, deepobs 42 to 51."""
    assert list(range(10)) == [run.seed for run in specs()]
    assert list(range(42, 52)) == [run.seed for run in specs(protocol="deepobs")]
    assert [42, 43] == [run.seed for run in specs(protocol="deepobs", seeds=2)]


def test_seeds_may_be_listed():
    """A list is taken as it is."""
    assert [3, 9, 7] == [run.seed for run in specs(seeds=[3, 9, 7])]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (0, "at least 1"),
        (-3, "at least 1"),
        ([2, -1], "negative"),
        ([100_000], "tuning"),
        (100_000, "tuning"),
        ([3, 7, 3], "names seed 3 more than once"),
        ((), "names no seed"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(seeds, message):
    """None, negative ones, and those kept for tuning."""
    with pytest.raises(UsageError, match=message):
        specs(seeds=seeds)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"problem": "digits_cn"}, r"unknown problem 'digits_cn'\. Did you mean 'digits_cnn'"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'. Did you mean 'adam'"),
        ({"norm": "group"}, "unknown norm 'group'. Did you mean 'group_norm'"),
        ({"protocol": "standart"}, "unknown protocol 'standart'. Did you mean 'standard'"),
        ({"words": ["lrr=1"]}, "unknown parameter of optimizer sgd 'lrr'. Did you mean 'lr'"),
        ({"words": ["lr=abc"]}, "lr=abc does not fit optimizer sgd: expected a number"),
        ({"words": ["lr=-1"]}, "lr=-1 does not fit optimizer sgd: expected a number, at least 0"),
        ({"words": ["protocl.epochs=3"]}, "unknown section 'protocl'. Did you mean 'protocol'"),
        ({"words": ["protocol.epoch=3"]}, "Did you mean 'epochs'"),
        ({"words": ["protocol.schedule=cos"]}, "one of constant, step, cosine, linear"),
        ({"words": ["norm.groups=3"]}, "unknown parameter of norm batch_norm 'groups'"),
        ({"words": ["problem.batch_size=0"]}, "a whole number, at least 1"),
        ({"words": ["faster"]}, "unexpected word 'faster': expected NAME=VALUE"),
        ({"words": ["lr=${x}"]}, "could not be read"),
        ({"words": ["lr="]}, "'lr=': its value is missing"),
        ({"ablation": "frozen"}, "one of trained, fixed, fixed_gamma, fixed_beta"),
        ({"setting_of": "norm=layer_norm"}, "no setting of sgd is known"),
        ({"setting_of": "colour=red"}, "names no cell"),
        (
            {"words": ["protocol.select=best", "protocol.validation_share=0"]},
            "needs a validation part",
        ),
    ],
)
def test_bad_request_names_value_expectation_and_fix(request_, message):
    """Each mistake is a usage error that helps."""
    with pytest.raises(UsageError, match=message):
        spec(**{"problem": "digits_cnn_bn", "optimizer": "sgd", **request_})


@pytest.mark.parametrize("text", ["", "0,1,x", "2", "0,,1"])
def test_mask_of_anything_but_digits_is_refused(text):
    """A mask is zeros and ones."""
    with pytest.raises(UsageError, match="is no mask"):
        parse_mask(text)


def test_mask_is_read_with_or_without_commas():
    """0,1,1 and 011 are the same mask."""
    assert (0, 1, 1) == parse_mask("0,1,1") == parse_mask("011")


def test_config_file_gives_words_and_command_line_wins(tmp_path):
    """Words from a file apply, and a word typed beside it replaces one of them."""
    config = tmp_path / "run.yaml"
    config.write_text("lr: 0.3\nseeds: 2\nnorm: group_norm\nprotocol:\n  epochs: 4\n")
    from_file = specs(config=config)
    typed = specs(config=config, words=["lr=0.2"], seeds=3, norm="layer_norm")

    assert (2, 0.3, "group_norm", 4) == _facts(from_file)
    assert (3, 0.2, "layer_norm", 4) == _facts(typed)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("seeds: 2", [0, 1]), ("seeds: 3,7", [3, 7]), ("seeds: [4, 9]", [4, 9])],
)
def test_config_file_names_options_in_any_form(tmp_path, text, seeds):
    """Seeds as a number or a list, a mask, and a section that names its component."""
    config = tmp_path / "run.yaml"
    config.write_text(f"{text}\nsites: 0,1,1\nnorm:\n  name: group_norm\n  num_groups: 4\n")
    runs = specs(config=config)

    assert seeds == [run.seed for run in runs]
    assert (0, 1, 1) == runs[0].ablation.sites
    assert ("group_norm", 4) == (runs[0].norm.name, runs[0].norm.number("num_groups"))


def _facts(runs):
    first = runs[0]
    return len(runs), first.optimizer.number("lr"), first.norm.name, first.epochs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr: 1\n", "unknown parameter of optimizer sgd 'lrr'"),
        ("protocoll:\n  epochs: 1\n", "unknown section 'protocoll'"),
        ("protocol:\n  epoch: 1\n", "Did you mean 'epochs'"),
        ("- a\n", "holds no mapping"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_config_file_with_a_mistake_is_refused(tmp_path, text, message):
    """A typo in a file is answered like a typo in a word."""
    config = tmp_path / "run.yaml"
    config.write_text(text)

    with pytest.raises(UsageError, match=message):
        spec(config=config)


def test_missing_config_file_is_refused(tmp_path):
    """The error names the path."""
    with pytest.raises(UsageError, match=r"nothing\.yaml: it does not exist"):
        spec(config=tmp_path / "nothing.yaml")


def test_problem_weight_decay_reaches_coupled_optimizers_only():
    """SGD takes the problem's L2 coefficient, AdamW keeps its own."""
    problem = spec("cifar10_3c3d").problem

    decay = problem.training.weight_decay
    assert decay > 0
    assert decay == spec("cifar10_3c3d").optimizer.number("weight_decay")
    assert 0.01 == spec("cifar10_3c3d", "adamw").optimizer.number("weight_decay")
    words = ["protocol.weight_decay=0.3"]
    assert 0.3 == spec("cifar10_3c3d", words=words).optimizer.number("weight_decay")


def test_known_setting_is_used_in_its_own_cell_alone():
    """A setting is found by cell, overridden by words, and never used elsewhere in silence."""
    catalogue = load_catalogue()
    catalogue.add_settings(
        [
            Setting(
                problem="digits_cnn",
                norm="layer_norm",
                optimizer="adam",
                protocol="standard",
                values={"lr": 0.0123},
                source="a test",
            )
        ]
    )

    def resolved(**request):
        base = {"problem": "digits_cnn", "optimizer": "adam", "norm": "layer_norm"}
        found = resolve(Request(**{**base, **request}), catalogue)[0]
        return found.optimizer.number("lr"), found.setting_origin

    assert (0.0123, "known") == resolved()
    assert (0.5, "given") == resolved(words=["lr=0.5"])
    assert (0.0123, "known, rules changed") == resolved(words=["protocol.epochs=3"])
    assert "default" == resolved(norm="instance_norm")[1]
    assert "default" == resolved(ablation="fixed")[1]
    assert "default" == resolved(words=["norm.eps=0.5"])[1]
    assert (0.0123, "of norm=layer_norm") == resolved(
        norm="group_norm", setting_of="norm=layer_norm"
    )
    assert (0.0123, "of protocol=standard") == resolved(protocol="quick")


def test_overridden_rules_are_listed_as_deviations():
    """A row says which words made it differ from its protocol."""
    run = spec(words=["protocol.epochs=3", "problem.batch_size=16", "lr=0.2"])

    assert ("protocol.epochs=3", "problem.batch_size=16") == run.deviations


def test_protocol_may_change_a_problem_without_being_a_deviation():
    """DeepOBS augments CIFAR its own way."""
    run = spec("cifar10_3c3d", protocol="deepobs")

    assert "colour_jitter" in run.problem.training.augmentation
    assert () == run.deviations


@settings(deadline=None, max_examples=25)
@given(st.permutations(["lr=0.2", "protocol.epochs=3", "problem.batch_size=16", "norm.eps=0.01"]))
def test_order_of_words_does_not_matter(words):
    """The same words in any order are the same run."""
    expected = spec(words=["lr=0.2", "protocol.epochs=3", "problem.batch_size=16", "norm.eps=0.01"])

    assert expected.fingerprint == spec(words=words).fingerprint


@pytest.mark.parametrize("problem", ["digits_cnn_bn", "cifar10_resnet20", "quadratic_deep"])
def test_spec_survives_its_json(problem):
    """What is written is what is read, fingerprint included."""
    original = spec(problem, words=["protocol.milestones=0.3,0.6"])
    copy = RunSpec.from_json(original.to_json())

    assert original == copy
    assert original.fingerprint == copy.fingerprint


def test_fingerprint_is_stable_across_releases():
    """A change of this value orphans every finished run: it takes a version bump."""
    run = replace(spec(), identity={"optimizer": {"name": "x"}, "problem": "y"}, seed=3)

    assert "2ed24e465143f2b6acac1f6c6e02091a" == run.fingerprint


def test_search_spaces_lie_within_the_ranges():
    """A tuner can never draw a value that the optimizer refuses."""
    from normbench import Optimizer

    for offer in CATALOGUE.offers(Optimizer):
        for parameter in offer.component.parameters:
            _check_search(parameter, offer.component.name)


def _check_search(parameter: Parameter, owner: str) -> None:
    search = parameter.search
    if search is None:
        return
    ends = search.choices or (search.low, search.high)
    assert len(ends) >= 2
    assert all(parameter.check(end, owner) == end for end in ends)


def test_epochs_that_are_given_are_not_shared_out():
    """``quick`` takes a tenth of a problem's epochs, and all of those that the user gives."""
    shared = resolve(Request(problem="digits_cnn", optimizer="sgd", protocol="quick"), CATALOGUE)
    asked = resolve(
        Request(
            problem="digits_cnn", optimizer="sgd", protocol="quick", words=["protocol.epochs=3"]
        ),
        CATALOGUE,
    )

    assert (2, 3) == (shared[0].epochs, asked[0].epochs)
    assert ("protocol.epochs=3",) == asked[0].deviations


def test_changed_plugin_file_is_another_run(tmp_path):
    """A one-off file has no version: with other content it offers another norm."""
    text = (
        "import normbench, torch\n"
        "def fit(site):\n    return normbench.Fitting(norm=torch.nn.Identity())\n"
        "@normbench.hookimpl\n"
        "def normbench_norms():\n"
        "    return [normbench.Norm(name='mine', summary='x', factory=fit)]\n"
    )
    specs = []
    for content in (text, text + "\n# changed\n"):
        file = tmp_path / "mine.py"
        file.write_text(content)
        catalogue = load_catalogue([file])
        request = Request(problem="digits_cnn", optimizer="sgd", norm="mine")
        specs.append((resolve(request, catalogue)[0], catalogue))
    (before, _), (after, catalogue) = specs

    assert before.fingerprint != after.fingerprint
    build_network(after, catalogue)
    with pytest.raises(UsageError, match="is not the one that the run was asked for with"):
        build_network(before, catalogue)


def test_hook_that_returns_one_description_is_told_to_return_a_list(tmp_path):
    """A forgotten pair of brackets is named, with the hook and the plugin."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import normbench\n"
        "@normbench.hookimpl\n"
        "def normbench_norms():\n    return normbench.Norm(name='mine', summary='x')\n"
    )
    with pytest.raises(PluginError, match=r"normbench_norms: expected a list.*brackets"):
        load_catalogue([file])


@pytest.mark.parametrize("begin", ["if True:", "def normbench_optimizers():"])
def test_error_in_a_plugin_file_names_its_line(tmp_path, begin):
    """Whether the file fails as it is read or in a hook, its last line on the way is told."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import normbench\n\ndef lr():\n    return normbench.Parameter('lr', 0.01)\n\n"
        f"@normbench.hookimpl\n{begin}\n    lr()\n".replace("@normbench.hookimpl\nif", "if")
    )
    with pytest.raises(PluginError, match=rf"3 were given \({re.escape(str(file))}, line 4\)\."):
        load_catalogue([file])


@pytest.mark.parametrize(
    ("begin", "body", "told"),
    [
        ("if True:", "raise SystemExit(3)", "could not be loaded: SystemExit: 3"),
        ("def normbench_norms():", "raise SystemExit(3)", "in normbench_norms: SystemExit: 3"),
        ("def normbench_norms():", "yield {}['late']", "in normbench_norms: KeyError: 'late'"),
        (
            "def normbench_settings():",
            "yield {}['late']",
            "in normbench_settings: KeyError: 'late'",
        ),
    ],
)
def test_plugin_file_that_exits_or_fails_late_is_named(tmp_path, begin, body, told):
    """Neither sys.exit nor a generator, which runs after its hook returned, ends the command."""
    file = tmp_path / "mine.py"
    mark = "@hookimpl" if begin.startswith("def") else ""
    file.write_text(f"from normbench import hookimpl\n{mark}\n{begin}\n    {body}\n")
    with pytest.raises(PluginError, match=rf"{told} \({re.escape(str(file))}, line 4\)\."):
        load_catalogue([file])


def test_parameter_of_another_optimizer_is_told_as_such():
    """momentum= given to plain sgd is answered with the optimizers that have it."""
    with pytest.raises(
        UsageError, match=r"sgd has no parameter .* These optimizers have it: .*more"
    ):
        resolve(
            Request(problem="digits_cnn_bn", optimizer="sgd", words=["momentum=0.9"]), CATALOGUE
        )
