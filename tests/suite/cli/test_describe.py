"""What ``normbench describe`` shows."""

from __future__ import annotations

import json

import pytest

from normbench.plugins import KINDS, load_catalogue

EVERYTHING = [(kind, name) for kind, cls in KINDS.items() for name in load_catalogue().names(cls)]
TWO_KINDS = """
from normbench import Norm, Optimizer, Parameter, hookimpl

LR = Parameter(name="lr", kind="float", default=0.1, summary="step", unit="per step", low=0.0)

@hookimpl
def normbench_norms():
    return [Norm(name="double", summary="a norm", factory=print)]

@hookimpl
def normbench_optimizers():
    return [Optimizer(name="double", summary="an optimizer", factory=print, parameters=(LR,))]
"""


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_every_component_can_be_described(invoke, catalogue, kind, name):
    """The page of each registered component holds its summary and all its parameters."""
    done = invoke("describe", kind, name)
    component = catalogue.get(KINDS[kind], name)

    assert 0 == done.exit_code, done.stderr
    assert f"{kind} {name} (version {component.version})" in done.stdout
    assert component.summary in done.stdout
    for parameter in component.parameters:
        assert parameter.summary in done.stdout


def test_every_kind_of_a_name_is_shown(invoke, plugin_file):
    """A name that two kinds share is described as both, and as one when the kind is said."""
    file = plugin_file(TWO_KINDS)
    both = invoke("describe", "double", "--plugin", file).stdout
    one = invoke("describe", "norm", "double", "--plugin", file).stdout

    assert "norm double" in both
    assert "optimizer double" in both
    assert "optimizer double" not in one
    assert "plugin one_off.py (file)" in one


def test_parameters_show_type_unit_range_and_default(invoke, plugin_file):
    """A parameter's line holds all that its description says."""
    shown = invoke("describe", "optimizer", "double", "--plugin", plugin_file(TWO_KINDS)).stdout
    line = next(line for line in shown.splitlines() if line.startswith("lr "))

    assert "lr float 0.1 per step a number, at least 0 step" == " ".join(line.split())


@pytest.mark.parametrize(
    ("name", "held"),
    [("adam", "whole steps"), *((n, "forward and backward; ") for n in ("adagrad", "sam"))],
)
def test_optimizer_shows_what_a_cuda_graph_holds(invoke, name, held):
    """Where its own step cannot be captured, what is captured all the same is said."""
    shown = invoke("describe", "optimizer", name).stdout
    line = next(line for line in shown.splitlines() if line.startswith("CUDA graph"))

    assert line.removeprefix("CUDA graph").strip().startswith(held)


def test_problem_shows_its_metric_and_training(invoke, catalogue):
    """A problem's page holds dataset, metric record and training fields."""
    from normbench import Problem

    problem = catalogue.get(Problem, "digits_cnn_bn")
    shown = invoke("describe", "digits_cnn_bn").stdout

    assert f"{problem.metric.name}, higher is better" in shown
    assert f"{problem.metric.smallest_difference:g}" in shown
    assert "digits_cnn --norm batch_norm" in shown
    assert "problem.NAME=VALUE" in shown


def built(invoke, *words: str) -> dict:
    """Return the network that ``describe --json`` shows."""
    return json.loads(invoke("describe", "problem", *words, "--json").stdout)[0]["built"]


def test_problem_shows_its_sites_in_forward_order(invoke):
    """The sites are numbered from 0 and the parameter groups add up to the parameter count."""
    view = built(invoke, "digits_cnn_bn")
    total = sum(group["numbers"] for group in view["parameter_groups"])

    assert list(range(len(view["sites"]))) == [site["index"] for site in view["sites"]]
    assert view["parameter_count"] == total
    assert {"each output channel"} == {site["scale_invariance"] for site in view["sites"]}
    assert "norm_scale" in [group["role"] for group in view["parameter_groups"]]


def test_only_weights_are_decayed(invoke):
    """The coefficient is the problem's for role weight and 0 for every other role."""
    view = built(invoke, "cifar10_3c3d_bn")
    decays = {group["role"]: group["weight_decay"] for group in view["parameter_groups"]}

    assert {"weight": 0.002} == {role: decay for role, decay in decays.items() if decay}


def test_sites_can_be_switched_off(invoke):
    """A mask leaves the norm out where it says 0, and with it the scale invariance."""
    count = len(built(invoke, "digits_cnn_bn")["sites"])
    mask = ",".join(["1", *["0"] * (count - 1)])
    sites = built(invoke, "digits_cnn_bn", "--sites", mask)["sites"]

    assert [True] + [False] * (count - 1) == [bool(site["norm"]) for site in sites]
    assert {""} == {site["scale_invariance"] for site in sites[1:]}


def test_another_norm_changes_the_groups_of_invariance(invoke):
    """With group norm a group of output channels may be rescaled together."""
    words = ("digits_cnn_bn", "--norm", "group_norm", "norm.num_groups=4")
    invariances = {site["scale_invariance"] for site in built(invoke, *words)["sites"]}

    assert all(words.startswith("4 groups of ") for words in invariances if words)
    assert invariances - {""}


def test_ablation_marks_what_is_not_trained(invoke):
    """A group whose parameters the ablation fixes is shown as not trained."""
    view = built(invoke, "digits_cnn_bn", "ablation.train=fixed_gamma")
    trained = {group["role"]: group["trained"] for group in view["parameter_groups"]}

    assert ["norm_scale"] == [role for role, is_trained in trained.items() if not is_trained]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits_cnn_bm",), "Did you mean 'digits_cnn_bn'?"),
        (("optimzer", "sgd"), "unknown kind 'optimzer'. Did you mean 'optimizer'?"),
        (("optimizer", "sdg"), "unknown optimizer 'sdg'. Did you mean 'sgd'?"),
        (("a", "b", "c"), "expected [KIND] NAME"),
        (("sgd", "--norm", "batch_norm"), "is no problem"),
        (("digits_cnn_bn", "lr=0.1"), "unexpected word 'lr=0.1'"),
        (("digits_cnn_bn", "norm.epz=1"), "Did you mean 'eps'?"),
        (("digits_cnn_bn", "--sites", "1,0,1,0,1,0,1,0,1,0,1"), "norm sites"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_request_is_refused(invoke, words, message):
    """A request that fits nothing ends with exit code 2 and what would fit."""
    done = invoke("describe", *words)

    assert 2 == done.exit_code
    assert message in done.stderr
