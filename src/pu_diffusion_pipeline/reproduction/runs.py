"""The runs that a table or figure needs: their commands, and whether they are finished."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pu_diffusion_pipeline.commands import DEFAULT_BENCHMARK, kedro_run, pipelines_of
from pu_diffusion_pipeline.config import ProjectConfigLoader
from pu_diffusion_pipeline.methods import DEFAULT_METHODS, METHODS

FIGURE_METHODS = {"figure1": ("unsupervised", "pu"), "figure4": ("unsupervised", "pu")}


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
    parameters: dict[str, Any]
    metrics: Path

    @property
    def finished(self) -> bool:
        """Whether its metrics are there."""
        return self.metrics.is_file()

    def command(self) -> list[str]:
        """The `kedro` arguments that make it."""
        return kedro_run(self.benchmark, pipelines_of(self.method), self.parameters)


def open_loader(conf: Path, benchmark: str, parameters: dict[str, Any]) -> ProjectConfigLoader:
    """The configuration of a run."""
    return ProjectConfigLoader(
        str(conf),
        env=None if benchmark == DEFAULT_BENCHMARK else benchmark,
        base_env="base",
        default_run_env="local",
        runtime_params=parameters,
        merge_strategy={"parameters": "soft"},
    )


def plan(
    target: str,
    benchmarks: Iterable[str],
    seeds: Iterable[int],
    betas: Sequence[float],
    parameters: dict[str, Any],
    project: Path,
) -> list[Run]:
    """Every run that the target needs, seed by seed so that an early stop leaves whole rows of few seeds.

    Args:
        target: one of `TARGETS`.
        benchmarks: `benchmarks_of`.
        seeds: the runs' seeds.
        betas: of Figure 4.
        parameters: what the user overrides.
        project: the project's folder.
    """
    runs = []
    for benchmark in benchmarks:
        checked = open_loader(project / "conf", benchmark, parameters).checked_parameters()
        methods = FIGURE_METHODS.get(target, DEFAULT_METHODS)
        if checked.pretrained is not None and target not in FIGURE_METHODS:
            methods = ("pretrained", *methods)
        for seed in seeds:
            for method in methods:
                used = betas if target == "figure4" else [checked.beta]
                for beta in used if METHODS[method].uses_beta else [None]:
                    given = {**parameters, "seed": seed, **({} if beta is None else {"beta": beta})}
                    runs.append(_run(benchmark, method, given, project))
    return runs


def _run(benchmark: str, method: str, parameters: dict[str, Any], project: Path) -> Run:
    catalog = open_loader(project / "conf", benchmark, parameters)["catalog"]
    return Run(benchmark, method, parameters, project / catalog[f"{method}.metrics"]["filepath"])


def judge_is_there(benchmark: str, parameters: dict[str, Any], project: Path) -> bool:
    """Whether the benchmark's judge and its report are saved."""
    return all(saved_file(name, benchmark, parameters, project).exists() for name in ("judge", "judge_report"))


def saved_file(name: str, benchmark: str, parameters: dict[str, Any], project: Path) -> Path:
    """Where a data set of the catalog lies."""
    return project / open_loader(project / "conf", benchmark, parameters)["catalog"][name]["filepath"]
