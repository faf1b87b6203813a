"""The runs that a table or figure needs: their commands, and whether they are finished."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader, open_loader
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, FRONTIER, METHODS
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK, kedro_run, pipelines_of
from pu_diffusion_pipeline.reproduction.arguments import Request

FIGURE_METHODS = {
    "figure1": ("unsupervised", "pu"),
    "figure4": ("unsupervised", "pu"),
    "frontier": FRONTIER,
}
# What `train_classifier` saves, and every evaluation reads.
JUDGE_DATA_SETS = ("judge", "judge_report", "reference_features")


class Run(NamedTuple):
    """One training with its samples and metrics.

    Attributes:
        benchmark: the environment; `digits_even` is the default one.
        method: a name in METHODS.
        parameters: seed, beta where the method uses it, and what the user added.
        metrics: the file that a finished run has.
    """

    benchmark: str
    method: str
    parameters: Mapping[str, object]
    metrics: Path

    @property
    def finished(self) -> bool:
        """Whether its metrics are there."""
        return self.metrics.is_file()

    def command(self) -> list[str]:
        """The `kedro` arguments that make it."""
        return kedro_run(self.benchmark, pipelines_of(self.method), self.parameters)


def configuration(
    project: Path, benchmark: str, parameters: Mapping[str, object]
) -> ProjectConfigLoader:
    """The configuration of a run.

    Args:
        project: the project's folder.
        benchmark: the environment.
        parameters: overrides.
    """
    env = None if benchmark == DEFAULT_BENCHMARK else benchmark
    return open_loader(project / "conf", env, dict(parameters))


def plan(request: Request, project: Path) -> list[Run]:
    """Every run that the target needs.

    They come seed by seed, so that after an early stop there are whole rows of few seeds.
    """
    return [
        run
        for benchmark in request.benchmarks
        for seed in request.seeds
        for run in _runs_of_seed(request, benchmark, seed, project)
    ]


def _runs_of_seed(request: Request, benchmark: str, seed: int, project: Path) -> list[Run]:
    parameters = configuration(project, benchmark, request.parameters).final_parameters()
    methods = FIGURE_METHODS.get(request.target, DEFAULT_METHODS)
    if parameters.pretrained is not None and request.target not in FIGURE_METHODS:
        methods = ("pretrained", *methods)
    betas: Sequence[object] = request.betas if request.target == "figure4" else [parameters.beta]
    runs = []
    for method in methods:
        given = {**request.parameters, "seed": seed}
        if METHODS[method].uses_beta:
            variants = [{**given, "beta": beta} for beta in betas]
        else:
            variants = [given]
        runs += [_run(benchmark, method, variant, project) for variant in variants]
    return runs


def _run(benchmark: str, method: str, parameters: Mapping[str, object], project: Path) -> Run:
    metrics = saved_file(f"{method}.metrics", benchmark, parameters, project)
    return Run(benchmark, method, parameters, metrics)


def judge_is_there(benchmark: str, parameters: Mapping[str, object], project: Path) -> bool:
    """Whether the benchmark's judge, its report and the features it is compared on are saved."""
    return all(
        saved_file(name, benchmark, parameters, project).exists() for name in JUDGE_DATA_SETS
    )


def saved_file(name: str, benchmark: str, parameters: Mapping[str, object], project: Path) -> Path:
    """The file or folder of a data set of the catalog."""
    return project / configuration(project, benchmark, parameters)["catalog"][name]["filepath"]
