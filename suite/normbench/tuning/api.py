"""``normbench.tune``: the words of ``normbench tune`` as keywords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normbench.api import Launching, as_words
from normbench.launchers.base import Pack, Slots
from normbench.overrides import parse_mask
from normbench.plugins import load_catalogue
from normbench.resolve import Request
from normbench.store import store_path
from normbench.tuning.conduct import Conduct, TuningReport
from normbench.tuning.plan import Tuning


def tune(
    problem: str,
    optimizer: str,
    *,
    trials: int | None = None,
    method: str = "sobol",
    search: str | Sequence[str] = (),
    draw_seed: int = 0,
    tuning_seeds: int = 1,
    evaluate: bool = True,
    skip_failed: bool = False,
    norm: str | None = None,
    sites: str | Sequence[int] | None = None,
    ablation: str | None = None,
    protocol: str | None = None,
    seeds: int | Sequence[int] | None = None,
    config: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    store: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    slots: Slots = None,
    pack: Pack = "auto",
    engine: str = "auto",
    launcher: str = "local",
    launcher_options: Mapping[str, str] | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
    track: bool = True,
    keep_weights: bool = False,
    **words: Any,
) -> TuningReport:
    """Look for the best setting of *optimizer* on *problem*, then train the evaluation seeds at it.

    The winner is chosen on validation and becomes the known setting of the cell in the store. What
    is done already is kept, so a larger budget extends a smaller one.

    >>> words = {"trials": 8, "protocol": "quick", "seeds": 3}
    >>> report = normbench.tune("digits_cnn_bn", "sgd", **words)  # doctest: +SKIP
    >>> report.winner.values, report.choice.command  # doctest: +SKIP

    Args:
        problem: Problem by name.
        optimizer: Optimizer by name.
        trials: Settings to try; default 20, all where there are fewer, or the whole grid where
            there are only choices.
        method: ``sobol``, ``grid`` or ``tpe``.
        search: Changes to the optimizer's search space, such as ``"lr=log:0.001:1"``,
            ``"momentum=choice:0.5,0.9"``, ``"norm.num_groups=choice:2,4"`` or
            ``"weight_decay=none"``.
        draw_seed: What the draw depends on beside the space.
        tuning_seeds: Seeds that every trial is trained at.
        evaluate: Whether the evaluation seeds are trained at the winner.
        skip_failed: Choose among the others when trials have failed.
        norm: Norm at every site; default: the problem's.
        sites: Mask of norm sites, such as ``"0,0,1"``.
        ablation: ``trained``, ``fixed``, ``fixed_gamma`` or ``fixed_beta``.
        protocol: Protocol by name; default ``standard``.
        seeds: Evaluation seeds: a number of them or the seeds; default: the protocol's.
        config: YAML file of words.
        plugins: One-off plugin files.
        store: Run store; default ``$NORMBENCH_STORE``, else ``./normbench-runs``.
        data_dir: Data folder; default ``$NORMBENCH_DATA``, else the user cache.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: Runs trained at once on the processor or on each GPU; ``"auto"`` for as many on each
            GPU as its memory allows.
        pack: Runs of one kind that a process on a GPU trains at once; see :func:`normbench.run`.
        engine: ``auto``, ``eager``, ``graph`` or ``compile``; see :func:`normbench.run`.
        launcher: Who starts the workers.
        launcher_options: Words for that launcher alone, such as ``{"partition": "gpu"}``.
        time_limit: Seconds that a run may take.
        memory_limit: Bytes of memory that a worker may hold.
        track: Whether MLflow is fed.
        keep_weights: Whether final weights are kept.
        words: Overrides that hold for every trial; dots are two underscores,
            ``protocol__epochs=3``.

    Raises:
        UsageError: If the request cannot be carried out as given.
    """
    root = store_path(Path(store) if store else None)
    catalogue = load_catalogue(Path(file) for file in plugins).with_store(root)
    request = Request(
        problem=problem,
        optimizer=optimizer,
        norm=norm,
        sites=parse_mask(sites),
        ablation=ablation,
        protocol=protocol,
        seeds=seeds,
        config=Path(config) if config else None,
        words=as_words(words),
    )
    tuning = Tuning(
        request=request,
        search=[search] if isinstance(search, str) else search,
        method=method,
        trials=trials,
        draw_seed=draw_seed,
        tuning_seeds=tuning_seeds,
        evaluate=evaluate,
        skip_failed=skip_failed,
    )
    launching = Launching(
        store=root,
        device=device,
        slots=slots,
        pack=pack,
        engine=engine,
        launcher=launcher,
        launcher_options=launcher_options or {},
        time_limit=time_limit,
        memory_limit=memory_limit,
        data_dir=Path(data_dir) if data_dir else None,
        track=track,
        keep_weights=keep_weights,
    )
    return Conduct(tuning, catalogue, launching).run()
