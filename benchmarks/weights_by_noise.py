"""Weights of U that depend on the noise: a suspicious image still teaches where noise hides it.

python benchmarks/weights_by_noise.py [--below 250,500,750,1000] [--methods weighted] [--seed 0]
    [--images 1000]

Below a timestep an image of U has the weight 1 - r, from it on the weight 1 (after Daras et al.,
who use a doubtful image only where it is noisy). 1000 is the method as it is. On the embedded
digits; docs/frontier.md has the table.
"""

import argparse

from kedro.framework.startup import bootstrap_project
from robustness import knowledge, rows_of
from time_to_effect import PROJECT, Measure
from torch import Tensor

from pu_diffusion_pipeline.training.draws import Draws
from pu_diffusion_pipeline.training.gradients import BatchGradients


def weigh_below(limit: int) -> None:
    """From now on trainings take the probabilities as 0 at timesteps from `limit` on."""

    def loss(self: BatchGradients, errors: Tensor, draws: Draws) -> tuple[Tensor, dict]:
        if draws.probabilities is None:
            return self.objective(errors, draws.labels)
        known = draws.probabilities * (draws.timesteps < limit)
        return self.objective(errors, draws.labels, known)

    BatchGradients._loss = loss


def main() -> None:
    """Train, draw and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--below", default="250,500,750,1000")
    parser.add_argument("--methods", default="weighted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=1_000, help="samples of a model")
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    measure = Measure(None, given.seed)
    known = knowledge("usual", measure, given.images)
    for limit in map(int, given.below.split(",")):
        weigh_below(limit)
        for method in given.methods.split(","):
            for row in rows_of(f"below {limit}", method, known, measure):
                print(
                    f"{row.condition}, {row.method}: NSR {row.non_sensitive_rate:.3f}, "
                    f"FD {row.frechet_distance:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
