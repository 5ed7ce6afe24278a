"""The rest of DeepOBS's test problems: MNIST, perceptrons and the character model; free of torch.

Metrics as in :mod:`normbench_problems.table`.
"""

from __future__ import annotations

from dataclasses import replace

from normbench import Metric, Problem, Training
from normbench_problems.references import CLASSIFICATION, DEEPOBS, SPLIT, accuracy

_UNMEASURED = "Unmeasured: its files have not been at hand."
_SOURCES = {
    "mnist": replace(DEEPOBS, deviations=(SPLIT, _UNMEASURED)),
    "fmnist": replace(DEEPOBS, deviations=(SPLIT,)),
}
_TITLES = {"mnist": "MNIST", "fmnist": "Fashion-MNIST"}


def _images(dataset: str, short: str, network: str, epochs: int, metric: Metric) -> Problem:
    unmeasured = "; unmeasured" if dataset == "mnist" else ""
    return Problem(
        name=f"{dataset}_{short}",
        summary=f"{short} on {_TITLES[dataset]}{unmeasured}",
        source=_SOURCES[dataset],
        factory=CLASSIFICATION,
        dataset=dataset,
        network=network,
        training=Training(batch_size=128, epochs=epochs),
        metric=metric,
    )


# One run's sampling error on 10 000 test images is about a quarter of a point at 92 %, and a tenth
# at 99 %. DeepOBS published no results here, and so no targets.
_EASY = accuracy(10, 0.001)
_MODERATE = accuracy(10, 0.002)

MNIST_LOGREG = _images("mnist", "logreg", "logreg", 50, _MODERATE)
FMNIST_LOGREG = _images("fmnist", "logreg", "logreg", 50, _MODERATE)
MNIST_MLP = _images("mnist", "mlp", "mlp", 100, _EASY)
FMNIST_MLP = _images("fmnist", "mlp", "mlp", 100, _MODERATE)
MNIST_2C2D = _images("mnist", "2c2d", "net_2c2d", 100, _EASY)

MNIST_VAE = Problem(
    name="mnist_vae",
    summary="convolutional variational autoencoder on MNIST; unmeasured",
    source=_SOURCES["mnist"],
    factory="normbench_problems.tasks.vae:Autoencoding",
    dataset="mnist",
    network="vae",
    training=Training(batch_size=64, epochs=50),
    # worst: every pixel at 1/2, which is what an untrained decoder says, from the published mean
    # 0.1307 and standard deviation 0.3081 of the train pixels. Published means lie 10 apart, seeds
    # 0.1. No target: DeepOBS's, 73.5, is reached by decoders that ignore their input (52.9).
    metric=Metric(name="test_loss", direction="min", worst=181.37, smallest_difference=0.5),
)

TOLSTOI_CHAR_RNN = Problem(
    name="tolstoi_char_rnn",
    summary="LSTM that predicts the next character of War and Peace; unmeasured",
    source=replace(
        DEEPOBS,
        deviations=(
            "Validation is the end of the train part. In training the tokens too few for another "
            "step are left out, in evaluation fewer than 50.",
            "Evaluation reads 50 streams, whatever the batch size.",
            _UNMEASURED,
        ),
    ),
    factory="normbench_problems.tasks.next_token:NextToken",
    dataset="tolstoi",
    network="char_rnn",
    training=Training(batch_size=50, epochs=200),
    # Published means lie 0.001 to 0.008 apart, seeds 0.001 to 0.003.
    metric=accuracy(83, 0.002, target=0.60459),
)

DEEPOBS_PROBLEMS: tuple[Problem, ...] = (
    MNIST_LOGREG,
    FMNIST_LOGREG,
    MNIST_MLP,
    MNIST_MLP.twin("mnist_mlp_bn", "batch_norm"),
    FMNIST_MLP,
    FMNIST_MLP.twin("fmnist_mlp_bn", "batch_norm"),
    MNIST_2C2D,
    MNIST_2C2D.twin("mnist_2c2d_bn", "batch_norm"),
    MNIST_VAE,
    TOLSTOI_CHAR_RNN,
)
