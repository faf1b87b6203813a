"""The runs of a sweep: what each is made with, where its results lie, whether they are there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from omegaconf import OmegaConf

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader, open_loader
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import SUFFIX, Claim, is_finished
from pu_diffusion_pipeline.experiment.commands import (
    DEFAULT_BENCHMARK,
    flat,
    kedro_run,
    pipelines_of,
)
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.experiment.requirements import refuse_unmet
from pu_diffusion_pipeline.session import pipelines_for
from pu_diffusion_pipeline.sweeps.arguments import ALL, Request

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline

METHODS_PIPELINE = "methods"  # the registered pipeline that holds every method


class Saved(NamedTuple):
    """A file or folder of a run.

    Attributes:
        path: where it is.
        claim: the file of its folder's claim.
    """

    path: Path
    claim: Path

    @property
    def is_finished(self) -> bool:
        """Whether it was saved to its end."""
        return is_finished(self.claim, self.path)


class Configured:
    """What the configuration of a benchmark says for given parameters."""

    def __init__(self, project: Path, loader: ProjectConfigLoader) -> None:
        self._project = project
        self._loader = loader

    def with_parameters(self, parameters: Mapping[str, object]) -> "Configured":
        """The same benchmark with other overrides."""
        return Configured(self._project, self._loader.with_parameters(parameters))

    @property
    def parameters(self) -> Parameters:
        """All of them."""
        return self._loader.final_parameters()

    @cached_property
    def _catalog(self) -> Mapping[str, Mapping[str, object]]:
        return self._loader["catalog"]

    def is_file(self, name: str) -> bool:
        """Whether a data set lies in a file system, where other processes find it."""
        path = self._catalog.get(name, {}).get("filepath")
        return path is not None and "://" not in str(path)

    def saved(self, name: str) -> Saved | None:
        """Where a data set lies; None for one that is in no run folder."""
        claim = self._claimed(name)
        if claim is None:
            return None
        folder = self._project / str(claim["path"])
        path = self._project / str(self._catalog[name]["filepath"])
        return Saved(path, folder / f"{claim['stage']}{SUFFIX}")

    def claim(self, name: str) -> Claim:
        """What the folder of a data set is made with."""
        claim = self._claimed(name)
        assert claim is not None
        stage, method = str(claim["stage"]), claim["method"]
        made = made_with(self.parameters, stage, method)
        return Claim(self._project / str(claim["path"]), stage, method, made)

    def _claimed(self, name: str) -> Mapping[str, str | None] | None:
        metadata = self._catalog.get(name, {}).get("metadata")
        return metadata.get("claim") if isinstance(metadata, Mapping) else None


@dataclass(frozen=True, eq=False)
class Run:
    """One method with its samples and metrics.

    Attributes:
        benchmark: the environment; `digits_even` is the default one.
        method: a name in METHODS.
        given: overrides, nested: seed, beta where the method uses it, and what the user asked for.
        configured: what follows from them.
        pipeline: every node from the source files to its metrics.
        own: the pipelines of its command, by the names that users type.
    """

    benchmark: str
    method: str
    given: Mapping[str, object]
    configured: Configured
    pipeline: "Pipeline"
    own: Mapping[str, "Pipeline"]

    @cached_property
    def metrics(self) -> Saved:
        """What a finished run has."""
        saved = self.configured.saved(f"{self.method}.metrics")
        assert saved is not None
        return saved

    @property
    def claim(self) -> Claim:
        """What its metrics are made with."""
        return self.configured.claim(f"{self.method}.metrics")

    @property
    def is_finished(self) -> bool:
        """Whether its metrics are there."""
        return self.metrics.is_finished

    def command(self) -> list[str]:
        """The `kedro` arguments that make it, once the judge and the models it draws from exist."""
        return kedro_run(self.benchmark, pipelines_of(self.method), self.given)


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


def runs_of(request: Request, project: Path) -> list[Run]:
    """Every run that was asked for, none twice.

    They come seed by seed, so that after an early stop all methods have a few seeds.

    Raises:
        InvalidInput: a parameter is unknown or out of range, a benchmark cannot run a method, or
            no method uses the betas.
    """
    runs = [
        run
        for benchmark in request.benchmarks
        for run in _of_benchmark(request, benchmark, project)
    ]
    if not runs:
        raise InvalidInput("--methods: the benchmarks can run none of them: there is nothing to do")
    if request.betas and not any(METHODS[run.method].uses_beta for run in runs):
        raise InvalidInput("--betas: none of the methods uses beta; leave it out")
    return list({run.metrics: run for run in reversed(runs)}.values())[::-1]


def _of_benchmark(request: Request, benchmark: str, project: Path) -> Iterator[Run]:
    usual = Configured(project, configuration(project, benchmark, request.params))
    seen: dict[str, Configured] = {}
    first = next(_given(request, "unsupervised", request.seeds[0]))  # alone `params` may not fit
    methods = methods_of(request, benchmark, usual.with_parameters(first).parameters)
    for seed in request.seeds:
        for method in methods:
            for given in _given(request, method, seed):
                key = repr(given)
                seen.setdefault(key, usual.with_parameters(given))
                yield open_run(benchmark, method, given, seen[key])


def open_run(
    benchmark: str, method: str, given: Mapping[str, object], configured: Configured
) -> Run:
    """A run with its pipelines.

    Args:
        benchmark: the environment.
        method: a name in METHODS.
        given: overrides, nested.
        configured: what follows from them.

    Raises:
        InvalidInput: the benchmark cannot run it.
    """
    parameters = configured.parameters
    try:
        own = pipelines_for(pipelines_of(method), parameters)
        whole = pipelines_for([METHODS_PIPELINE], parameters)[METHODS_PIPELINE]
        pipeline = whole.to_outputs(f"{method}.metrics")
        refuse_unmet((node.name for node in pipeline.nodes), parameters)
    except InvalidInput as error:
        raise InvalidInput(f"{benchmark} cannot run {method}: {error}") from error
    return Run(benchmark, method, given, configured, pipeline, own)


def methods_of(request: Request, benchmark: str, parameters: Parameters) -> list[str]:
    """The methods that a benchmark is to run, as `Request.methods` says."""
    if request.methods == ALL:
        return [name for name in METHODS if _can_run(name, parameters)]
    if request.methods is not None:
        return list(request.methods)
    return [*(["pretrained"] if parameters.pretrained is not None else []), *DEFAULT_METHODS]


def _can_run(method: str, parameters: Parameters) -> bool:
    try:
        own = pipelines_for(pipelines_of(method), parameters)
        refuse_unmet((node.name for one in own.values() for node in one.nodes), parameters)
    except InvalidInput:
        return False
    return True


def _given(request: Request, method: str, seed: int) -> Iterator[dict[str, object]]:
    betas: list[dict[str, object]] = [{}]
    if METHODS[method].uses_beta and request.betas:
        betas = [{"beta": beta} for beta in request.betas]
    for beta in betas:
        for choice in request.choices():
            yield nested({**flat(request.params), "seed": seed, **beta, **choice})


def nested(values: Mapping[str, object]) -> dict[str, object]:
    """`{"a.b": 1}` to `{"a": {"b": 1}}`."""
    tree = OmegaConf.create({})
    for name, value in values.items():
        OmegaConf.update(tree, name, value)
    content = OmegaConf.to_container(tree)
    assert isinstance(content, dict)
    return {str(name): value for name, value in content.items()}
