"""Published results, typed anew from the papers' tables and compared digit by digit."""

from __future__ import annotations

import math

import pytest

from normbench import Problem
from normbench.plugins import load_catalogue
from normbench_baselines.published import published_comparisons, published_results

# Mean (standard deviation) of the test accuracy in percent.
SPHERICAL_RESULTS = """
            cifar10_resnet20 cifar10_resnet18 cifar10_vgg16 cifar100_resnet18 cifar100_vgg16
momentum    92.39(0.12)      95.10(0.04)      93.56(0.05)   77.08(0.18)       73.77(0.10)
adam        90.98(0.06)      93.77(0.20)      92.83(0.17)   71.30(0.36)       68.43(0.16)
adamw       90.19(0.24)      93.61(0.12)      92.53(0.25)   67.39(0.27)       71.37(0.22)
adam_g      91.64(0.17)      94.67(0.12)      93.41(0.17)   73.76(0.34)       70.17(0.20)
sgd_mrt     92.25(0.12)      94.93(0.23)      93.68(0.30)   77.09(0.15)       73.32(0.29)
adam_s      91.15(0.11)      93.95(0.23)      92.92(0.11)   74.44(0.22)       68.73(0.27)
adam_srt    91.81(0.20)      94.92(0.05)      93.75(0.06)   75.28(0.35)       71.45(0.13)

            svhn_resnet18    svhn_vgg16       imagenet_resnet18
momentum    95.96(0.15)      95.95(0.09)      69.86(0.06)
adam        95.32(0.23)      95.57(0.20)      68.52(0.10)
adamw       95.38(0.15)      95.60(0.08)      -
adam_g      95.73(0.05)      95.70(0.25)      -
sgd_mrt     96.17(0.12)      95.95(0.12)      -
adam_s      95.75(0.09)      95.66(0.09)      68.82(0.22)
adam_srt    95.84(0.07)      95.82(0.05)      68.93(0.19)
"""
# Learning rate in three digits, test score and its standard deviation, epochs to the target.
DEEPOBS_RESULTS = """
                 sgd                          momentum                     adam
quadratic_deep   1.58e-2,87.40,.16,51.1       2.51e-3,87.05,.02,70.5       3.98e-2,87.11,.02,39.9
mnist_vae        3.98e-3,38.46,11.83,1        2.51e-5,52.93,.01,1          1.58e-4,27.83,.09,1
fmnist_2c2d      1.58e-1,.9227,.0017,40.6     2.51e-3,.9214,.0020,59.1     2.51e-4,.9234,.0028,40.1
cifar10_3c3d     6.31e-2,.8371,.0115,42.5     3.98e-4,.8441,.0060,40.7     3.98e-4,.8475,.0033,36.0
fmnist_vae       3.98e-3,23.80,.23,1          1.00e-5,59.23,17.42,1        1.58e-4,23.07,.09,1
cifar100_allcnnc 1.58e-1,.5706,.0156,128.7    3.98e-3,.6033,.0077,72.8     1.00e-3,.5615,.0090,152.6
svhn_wrn164      2.51e-2,.9537,.0038,28.3     6.31e-4,.9553,.0016,10.8     1.58e-4,.9525,.0022,12.1
tolstoi_char_rnn 1.58,.6207,.0028,47.7        3.98e-2,.6130,.0012,88.0     2.51e-3,.6123,.0029,62.8
"""
BEST_EPOCHS = """
                 sgd   momentum adam
cifar10_3c3d     .8487 .8514    .8521
cifar100_allcnnc .5886 .6194    .5731
"""
# Batch size, epochs, L2 coefficient, convergence performance.
DEEPOBS_PROBLEMS = """
                 batch epochs l2   target
quadratic_deep   128   100    0    87.7032
mnist_vae        64    50     0    73.4982
fmnist_2c2d      128   100    0    .91981
cifar10_3c3d     128   100    2e-3 .82833
fmnist_vae       64    100    0    92.9776
cifar100_allcnnc 256   350    5e-4 .52560
svhn_wrn164      128   160    5e-4 .95020
tolstoi_char_rnn 50    200    0    .60459
mnist_logreg     128   50     0    -
fmnist_logreg    128   50     0    -
mnist_mlp        128   100    0    -
fmnist_mlp       128   100    0    -
mnist_2c2d       128   100    0    -
svhn_3c3d        128   100    2e-3 -
cifar100_wrn164  128   160    5e-4 -
cifar100_wrn404  128   160    5e-4 -
"""
# Test accuracy in percent by seed, 1 to 5, mean, standard deviation.
BATCH_SIZES = """
    group_norm                                    batch_norm
32  85.62,85.80,85.92,86.04,86.39,85.954,0.289    86.22,86.33,86.14,87.00,86.30,86.398,0.345
16  86.20,85.45,85.64,85.22,86.06,85.714,0.411    86.35,86.08,86.59,86.73,86.26,86.402,0.260
8   85.69,85.16,86.01,85.79,86.19,85.768,0.391    86.26,85.92,86.78,85.97,85.79,86.144,0.395
4   86.02,85.46,85.83,86.27,86.27,85.970,0.340    85.26,85.02,84.18,84.81,84.60,84.774,0.413
2   85.00,85.63,85.98,86.17,86.16,85.788,0.492    80.81,80.29,80.96,79.58,79.86,80.300,0.593
"""
# Better and worse norm, one-sided p.
COMPARISONS = """
    better     worse      p
32  batch_norm group_norm .0336
16  batch_norm group_norm .0264
8   batch_norm group_norm .0824
4   group_norm batch_norm .0044
2   group_norm batch_norm .00011
"""
GROUP_SEARCH = {8: 0.8800, 4: 0.8762, 2: 0.8575}


def cells(table: str) -> dict[tuple[str, str], str]:
    """Return what a table's parts, each with a header, hold by (row, column), less its gaps."""
    found = {}
    for part in table.strip("\n").split("\n\n"):
        header, *rows = (line.split() for line in part.splitlines())
        for name, *values in rows:
            found |= {(name, column): v for column, v in zip(header, values, strict=True)}
    return {place: value for place, value in found.items() if value != "-"}


def numbers(text: str) -> list[float]:
    """Return the numbers of a cell."""
    return [float(each) for each in text.replace("(", ",").strip(")").split(",")]


def on_grid(lr: float) -> float:
    """Return the learning rate of DeepOBS's grid that rounds to *lr*."""
    return 10 ** (round(5 * math.log10(lr)) / 5)


def results(protocol: str, metric: str = "test_accuracy") -> list:
    """Return a protocol's published results in one metric."""
    return [r for r in published_results() if (r.protocol, r.metric) == (protocol, metric)]


def test_results_of_the_paper_on_spheres():
    """All 53 means and spreads, seeds unknown, are those of the paper's table."""
    expected = {
        (problem, "batch_norm", optimizer, "unknown", None): numbers(text)
        for (optimizer, problem), text in cells(SPHERICAL_RESULTS).items()
    }
    actual = {
        (each.problem, each.norm, each.optimizer, each.spread, each.n): each
        for each in results("spherical")
    }

    assert expected.keys() == actual.keys()
    for place, values in expected.items():
        assert values == pytest.approx([100 * actual[place].mean, 100 * actual[place].sd]), place


def test_remarks_of_the_paper_on_spheres():
    """AdamW's two suspect cells and AdamG's row, and no others, carry a remark."""
    remarks = {(r.optimizer, r.problem): r.remark for r in results("spherical") if r.remark}
    suspect = {place for place, remark in remarks.items() if "suspect" in remark}
    others = [optimizer for optimizer, _ in remarks.keys() - suspect]

    assert {("adamw", "cifar100_resnet18"), ("adamw", "cifar100_vgg16")} == suspect
    assert ["adam_g"] * 7 == others


@pytest.mark.parametrize(("problem", "optimizer"), cells(DEEPOBS_RESULTS), ids=str)
def test_result_of_deepobs(problem, optimizer):
    """Score, spread over ten seeds, conditions, target and speed are the published ones."""
    metric = "test_loss" if problem.endswith(("deep", "vae")) else "test_accuracy"
    found = {(r.problem, r.optimizer): r for r in results("deepobs", metric)}
    lr, mean, sd, speed = numbers(cells(DEEPOBS_RESULTS)[problem, optimizer])
    laid_down = {name: v for (row, name), v in cells(DEEPOBS_PROBLEMS).items() if row == problem}
    conditions = {
        "lr": on_grid(lr),
        "batch_size": int(laid_down["batch"]),
        "epochs": int(laid_down["epochs"]),
        **({"momentum": 0.99} if optimizer == "momentum" else {}),
    }
    more = {"target": float(laid_down["target"]), "epochs_to_target": speed}
    if (problem, optimizer) in cells(BEST_EPOCHS):
        more["best_epoch_mean"] = float(cells(BEST_EPOCHS)[problem, optimizer])
    result = found[problem, optimizer]
    norm = "batch_norm" if problem == "svhn_wrn164" else "none"

    assert (mean, sd, "n", 10, norm) == (
        *(result.mean, result.sd, result.spread, result.n),
        result.norm,
    )
    assert pytest.approx(conditions, rel=1e-10) == result.conditions
    assert more == result.more


@pytest.mark.parametrize(
    "name", dict.fromkeys(name for name, _ in cells(DEEPOBS_PROBLEMS)), ids=str
)
def test_problem_of_deepobs(name):
    """Batch size, epochs, L2 coefficient and target are DeepOBS's; the VAEs' is left out."""
    laid_down = {column: v for (row, column), v in cells(DEEPOBS_PROBLEMS).items() if row == name}
    problem = load_catalogue().get(Problem, name)
    training = problem.training
    target = None if name.endswith("vae") else laid_down.get("target")

    assert (target and float(target)) == problem.metric.target
    assert [float(laid_down[column]) for column in ("batch", "epochs", "l2")] == [
        *(training.batch_size, training.epochs, training.weight_decay),
    ]


def test_results_over_batch_sizes():
    """Each seed's accuracy, mean and spread of the study of group norm are the published ones."""
    expected = {place: numbers(text) for place, text in cells(BATCH_SIZES).items()}
    actual = {}
    for each in results("group_norm_study"):
        groups = {"num_groups": 8} if each.norm == "group_norm" else {}
        size = each.conditions["batch_size"]
        assert {"batch_size": size, **groups} == each.conditions
        assert [1, 2, 3, 4, 5] == list(each.values)
        assert ("n-1", 5) == (each.spread, each.n)
        percent = [100 * value for value in (*each.values.values(), each.mean, each.sd)]
        actual[str(size), each.norm] = pytest.approx(percent)

    assert expected == actual


def test_comparisons_over_batch_sizes():
    """Which norm is better, and its p, are those of the table."""
    actual = {
        (str(each.conditions["batch_size"]), name): str(value)
        for each in published_comparisons()
        for name, value in (("better", each.better), ("worse", each.worse), ("p", each.p))
    }
    expected = {
        (size, name): str(float(value)) if name == "p" else value
        for (size, name), value in cells(COMPARISONS).items()
    }

    assert expected == actual


def test_search_for_the_number_of_groups():
    """8, 4 and 2 groups reached these accuracies at batch size 32 with seed 1."""
    found = results("group_norm_study", "validation_accuracy")

    assert GROUP_SEARCH == {
        each.conditions["num_groups"]: pytest.approx(each.mean) for each in found
    }
    assert all({1: each.mean} == each.values for each in found)
    assert {32} == {each.conditions["batch_size"] for each in found}
