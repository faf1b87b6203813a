"""Which point is tried next, and which trial is given up: Optuna, and no state of our own.

Each answer is made from the trials alone, so a search that was stopped goes on as if it had not
been. Optuna's study lives no longer than a question.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.search.space import Range
from pu_diffusion_pipeline.search.trials import Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

NUM_FIRST = 4  # trials that lie evenly, before results decide
LEAST_KNOWN = 2  # results without which nothing can be said


def require_optuna() -> None:
    """Refuse to begin without Optuna.

    Raises:
        InvalidInput: it is not installed.
    """
    if find_spec("optuna") is None:
        raise InvalidInput("kedro search needs Optuna: pip install 'pu_diffusion_pipeline[search]'")


def first_points(ranges: Mapping[str, Range], seed: int) -> list[dict[str, float]]:
    """The first points: of each parameter one in every part of its range (a Latin square)."""
    draws = np.random.default_rng(seed)
    shares = {
        name: (draws.permutation(NUM_FIRST) + draws.random(NUM_FIRST)) / NUM_FIRST
        for name in ranges
    }
    return [
        {name: one.at(float(shares[name][number])) for name, one in ranges.items()}
        for number in range(NUM_FIRST)
    ]


def propose(
    ranges: Mapping[str, Range], trials: Sequence[Trial], limit: float, seed: int
) -> dict[str, float]:
    """The next point; the same for the same arguments.

    A Gaussian process of the rate and one of the distance say where a better rate within the limit
    is likely. Trials without results (open, pruned, failed) count as points not to be tried again.

    Args:
        ranges: of the parameters.
        trials: all so far, also those that still run.
        limit: of the distance.
        seed: of the search.
    """
    if len(trials) < NUM_FIRST:
        return first_points(ranges, seed)[len(trials)]
    import optuna

    own = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    sampler = optuna.samplers.GPSampler(
        seed=own, n_startup_trials=LEAST_KNOWN, warn_independent_sampling=False
    )
    study = _study(ranges, trials, limit, sampler)
    asked = study.ask(_distributions(ranges)).params
    return {name: one.rounded(asked[name]) for name, one in ranges.items()}


def is_poor(
    ranges: Mapping[str, Range], trial: Trial, trials: Sequence[Trial], limit: float
) -> bool:
    """Whether a trial's looks are below the median of the complete ones at the same step.

    Only trials within the limit count: a model that is ruined shows few sensitive images too.
    """
    within = {
        tuple(one.values.items()): one  # a run that was met twice counts once
        for one in trials
        if one.measured and one.measured.distance <= limit
    }
    if not trial.looks or len(within) < LEAST_KNOWN:
        return False
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_KNOWN, n_min_trials=LEAST_KNOWN)
    study = _study(ranges, list(within.values()), limit, None)
    return pruner.prune(study, _frozen(trial, ranges, limit))


def _study(
    ranges: Mapping[str, Range],
    trials: Sequence[Trial],
    limit: float,
    sampler: "BaseSampler | None",
) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_frozen(one, ranges, limit) for one in trials])
    return study


def _frozen(trial: Trial, ranges: Mapping[str, Range], limit: float) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    measured = trial.measured
    return create_trial(
        state=TrialState.COMPLETE if measured else TrialState.RUNNING,
        value=measured.nsr if measured else None,
        params=dict(trial.values),
        distributions=_distributions(ranges),
        intermediate_values=dict(trial.looks),
        constraints={"distance": math.log(measured.distance / limit)} if measured else None,
    )


def _distributions(ranges: Mapping[str, Range]) -> dict[str, "BaseDistribution"]:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        name: IntDistribution(int(one.low), int(one.high), log=one.is_log)
        if one.is_whole
        else FloatDistribution(one.low, one.high, log=one.is_log)
        for name, one in ranges.items()
    }
