"""``normbench run``: train a problem with an optimizer on paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from normbench.cli import complete
from normbench.cli.launching import hint_again, request_options, train
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.until_decided import (
    check_stage_options,
    parse_stages,
    stage_options,
    train_until_decided,
)


@click.command("run")
@click.argument("problem", shell_complete=complete.names_of("problem"))
@click.argument("optimizer", shell_complete=complete.names_of("optimizer"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option("--sites", metavar="MASK", help="Sites that carry the norm, such as 0,0,1,1,1.")
@click.option(
    "--ablation",
    metavar="MODE",
    help="Which of γ and β train: trained, fixed, fixed_gamma or fixed_beta.",
)
@click.option(
    "--protocol", shell_complete=complete.names_of("protocol"), help="Rules; default standard."
)
@click.option("--seeds", metavar="N|LIST", help="So many seeds, or the seeds: 3,7,9.")
@stage_options
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML of words.")
@click.option("--setting-of", metavar="CELL", help="Use the setting of norm=..., protocol=...")
@click.option("--download", is_flag=True, help="Fetch data files that are missing.")
@request_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    problem: str,
    optimizer: str,
    words: Sequence[str],
    norm: str | None,
    sites: str | None,
    ablation: str | None,
    protocol: str | None,
    seeds: str | None,
    until_decided: bool,
    max_seeds: int | None,
    stages: str | None,
    config: Path | None,
    setting_of: str | None,
    download: bool,
    **training: Any,
) -> int:
    """Train PROBLEM with OPTIMIZER, one run for each seed.

    Runs that the store already has are kept; interrupted ones go on from their checkpoint. Words
    such as lr=0.02 set the optimizer's parameters; protocol.epochs=100, problem.batch_size=64,
    norm.num_groups=4, ablation.scale_init=0.1 and network.bias=always set the others'. Observers
    never change a run; one that has its result is trained again for series that it lacks. The exit
    code is 0 once every run has its result in the store, 1 if some have none, 2 for a mistake in
    the request, 130 after Ctrl-C. That MLflow lacks some is said in the last line and changes it
    not: normbench sync sends them, and has the exit code 1 if it cannot.

    \b
    normbench run digits_cnn_bn sgd
    normbench run cifar10_resnet20 momentum --norm group_norm norm.num_groups=4
    normbench run cifar10_3c3d_bn sgd --sites 0,0,1,1,1 --ablation fixed_gamma lr=0.02
    normbench run cifar10_resnet20 sgd --observe activations --observe norm_parameters:every=0.1
    normbench run digits_cnn_bn adam --until-decided --max-seeds 20
    """  # noqa: D301 - click reads the backspace character
    trains = not (training["dry_run"] or training["enqueue"])
    if trains:
        hint_again(invocation)
    from normbench.overrides import parse_mask, parse_seeds
    from normbench.planning import plan
    from normbench.resolve import Request

    request = Request(
        problem=problem,
        optimizer=optimizer,
        norm=norm,
        sites=parse_mask(sites),
        ablation=ablation,
        protocol=protocol,
        seeds=parse_seeds(seeds),
        words=words,
        config=config,
        setting_of=setting_of,
    )
    looks = parse_stages(stages)
    check_stage_options(until_decided=until_decided, max_seeds=max_seeds, stages=looks)
    if download:
        _fetch(invocation, problem)
    if until_decided:
        from normbench.staging import Staging

        asked = Staging(request=request, stages=looks, max_seeds=max_seeds)
        return train_until_decided(invocation, asked, **training)
    specs = plan(request, invocation.catalogue, invocation.data_dir, files=trains)
    return train(invocation, specs, **training)


def _fetch(invocation: Invocation, problem: str) -> None:
    from normbench.cli.prepare import datasets_of, prepare_dataset
    from normbench.places import data_folder

    for dataset in datasets_of(invocation.catalogue, (problem,)):
        prepare_dataset(dataset, data_folder(invocation.data_dir))
