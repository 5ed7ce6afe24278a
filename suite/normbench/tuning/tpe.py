"""Method ``tpe``: Optuna's tree-structured Parzen estimator, one trial after another.

Algorithms for Hyper-Parameter Optimization, J. Bergstra, R. Bardenet, Y. Bengio and B. Kegl,
NeurIPS 2011; Optuna: A Next-generation Hyperparameter Optimization Framework, T. Akiba et al., KDD
2019, arXiv:1907.10902.

The first trials are those of method ``sobol``, and may be trained at once; each later one depends
on the results of all before it. It is a function of them, the space and the draw seed alone: the
sampler is made anew for every trial and told the trials so far, so Optuna keeps no state, and an
interrupted study goes on as if it had not been. A setting that was tried before would tell nothing
new: the sampler is asked again, and if it insists, the next new Sobol point is tried. Only another
version of Optuna, scipy or numpy may propose otherwise from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normbench.descriptions import Metric
from normbench.errors import UsageError, install_extra
from normbench.parameters import Value
from normbench.tuning import sobol
from normbench.tuning.scores import validation_score
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Trial

STARTUP_TRIALS = 10
_SEEDS = 2**32
_ASKS = 20


def propose(
    space: Space, *, metric: Metric, trials: Sequence[Trial], budget: int, draw_seed: int
) -> list[dict[str, Value]]:
    """Return the Sobol points that come first, after them one trial; none repeats a setting.

    Raises:
        UsageError: If Optuna is missing, or an earlier trial has no result.
    """
    optuna = _import_optuna()
    if len(trials) < STARTUP_TRIALS:
        first = min(budget, STARTUP_TRIALS)
        return sobol.propose(space, metric=metric, trials=trials, budget=first, draw_seed=draw_seed)
    _refuse_incomplete(trials)
    distributions = {axis.word: _distribution(optuna, axis) for axis in space}
    study = _study(optuna, metric, _seed(draw_seed, len(trials)))
    for trial in trials:
        study.add_trial(_told(optuna, space, metric, trial, distributions))
    tried = {sobol.setting_key(trial.values) for trial in trials}
    for _ in range(_ASKS):
        asked = study.ask(distributions)
        values = {axis.word: _value(axis, asked.params[axis.word]) for axis in space}
        if sobol.setting_key(values) not in tried:
            return [values]
    one_more = len(trials) + 1
    return sobol.propose(space, metric=metric, trials=trials, budget=one_more, draw_seed=draw_seed)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            f"method tpe needs Optuna, which cannot be imported ({error}). Install it: "
            f"{install_extra('optuna')}, or draw with --method sobol."
        ) from error
    return optuna


def _refuse_incomplete(trials: Sequence[Trial]) -> None:
    missing = [str(trial.number) for trial in trials if not trial.complete]
    if missing:
        raise UsageError(
            f"trial {', '.join(missing)} has no result, and the next one of method tpe depends on "
            "it. See why with: normbench status; train it with: normbench resume"
        )


def _study(optuna: Any, metric: Metric, seed: int) -> Any:
    """Return an empty study in memory, quiet, that draws from *seed*."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, seed=seed, multivariate=True
        )
        direction = "maximize" if metric.direction == "max" else "minimize"
        return optuna.create_study(sampler=sampler, direction=direction)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _seed(draw_seed: int, number: int) -> int:
    """Return a seed of its own for every trial of every draw."""
    import numpy as np

    return int(np.random.SeedSequence((draw_seed, number)).generate_state(1)[0]) % _SEEDS


def _told(
    optuna: Any,
    space: Space,
    metric: Metric,
    trial: Trial,
    distributions: dict[str, Any],
) -> Any:
    """Return *trial* as Optuna takes it; one that diverged has the metric's worst score."""
    return optuna.trial.create_trial(
        value=validation_score(trial, metric),
        params={axis.word: _internal(axis, trial.values[axis.word]) for axis in space},
        distributions=distributions,
    )


def _distribution(optuna: Any, axis: Axis) -> Any:
    search, kinds = axis.search, optuna.distributions
    if search.scale == "choice":
        return kinds.CategoricalDistribution(range(len(search.choices)))
    if search.scale == "int":
        return kinds.IntDistribution(round(search.low), round(search.high))
    return kinds.FloatDistribution(search.low, search.high, log=search.scale == "log")


def _internal(axis: Axis, value: Value) -> Value:
    """Return *value* as Optuna takes it: of a choice its number, as not all types fit."""
    return axis.search.choices.index(value) if axis.search.scale == "choice" else value


def _value(axis: Axis, internal: Any) -> Value:
    if axis.search.scale == "choice":
        return axis.search.choices[int(internal)]
    return int(internal) if axis.search.scale == "int" else axis.short(float(internal))
