"""What this package offers. Asked whenever names are listed, so it imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import (
    Dataset,
    Metric,
    Network,
    Norm,
    Optimizer,
    Parameter,
    Problem,
    Search,
    Source,
    Training,
    hookimpl,
)


@hookimpl
def normbench_norms() -> Sequence[Norm]:
    """Offer max_norm."""
    return (
        Norm(
            name="max_norm",
            summary="divides each example's activations by the largest of their magnitudes",
            factory="normbench_example.max_norm:fit",
            site_kinds=("conv", "dense"),
            parameters=(
                Parameter(
                    name="eps", kind="float", default=1e-5, summary="added to the largest", low=0.0
                ),
            ),
        ),
    )


@hookimpl
def normbench_optimizers() -> Sequence[Optimizer]:
    """Offer signum."""
    return (
        Optimizer(
            name="signum",
            summary="steps of one size along the sign of the momentum",
            source=Source(title="signSGD (Bernstein et al., 2018)", reference="arXiv:1802.04434"),
            factory="normbench_example.signum:signum",
            parameters=(
                Parameter(
                    name="lr",
                    kind="float",
                    default=0.001,
                    summary="size of each step",
                    low=0.0,
                    search=Search(scale="log", low=1e-5, high=1e-1),
                ),
                Parameter(
                    name="momentum", kind="float", default=0.9, summary="decay", low=0.0, high=1.0
                ),
                Parameter(
                    name="weight_decay",
                    kind="float",
                    default=0.0,
                    summary="L2 coefficient",
                    low=0.0,
                ),
            ),
        ),
    )


@hookimpl
def normbench_datasets() -> Sequence[Dataset]:
    """Offer the wine dataset that ships with scikit-learn."""
    return (
        Dataset(
            name="wine",
            summary="178 wines by 13 measurements, 3 cultivars",
            source=Source(title="UCI Wine (Aeberhard and Forina, 1991)", licence="CC BY 4.0"),
            factory="normbench_example.wine:load",
            content="table",
            shape=(13,),
            classes=3,
            train_size=133,
            test_size=45,
        ),
    )


@hookimpl
def normbench_networks() -> Sequence[Network]:
    """Offer a small perceptron."""
    return (
        Network(
            name="wine_mlp",
            summary="13-32-32-3 perceptron with two norm sites",
            factory="normbench_example.wine:WineMLP",
        ),
    )


@hookimpl
def normbench_problems() -> Sequence[Problem]:
    """Offer the test problem made of both."""
    return (
        Problem(
            name="wine_mlp",
            summary="wine cultivars with a small perceptron",
            factory="normbench:Classification",
            dataset="wine",
            network="wine_mlp",
            training=Training(batch_size=16, epochs=20, weight_decay=1e-4),
            metric=Metric(
                name="test_accuracy", direction="max", worst=0.4, smallest_difference=0.03
            ),
        ),
    )
