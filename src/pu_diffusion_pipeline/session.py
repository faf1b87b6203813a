"""The Kedro session: the pipelines that a user names, in the form that the parameters ask for."""

from collections.abc import Iterable
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, SequentialRunner

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.pipeline_registry import BLIND, ESTIMATED, RELEARNED, WATCHED

# Pipelines from source images to the report. kedro-viz shows how the last run of one went: its own
# hook would warn about every other run, so settings.py leaves that out.
WHOLE = frozenset({"__default__", "recommended", "finetune"})
TRUTH = "oracle_unlabeled"  # the data set that says which images of U are sensitive


class ExperimentSession(KedroSession):
    """A session whose pipelines depend on parameters (docs/decisions/0008).

    A Kedro DAG is static, but `beta: estimated` needs the class prior and a given beta does not,
    `watch.every` needs the judge, images without labels are judged by another classifier, and a
    report may show the relearning check. All forms are registered; this chooses.
    """

    _context: KedroContext | None = None

    def load_context(self) -> KedroContext:
        """The project context, whose configuration is read once."""
        if self._context is None:
            self._context = super().load_context()
        return self._context

    def run(
        self,
        pipeline_name: str | None = None,
        pipeline_names: list[str] | None = None,
        tags: Iterable[str] | None = None,
        runner: AbstractRunner | None = None,
        *args: Any,
        **options: Any,
    ) -> dict[str, Any]:
        """Run the pipelines; arguments as for `KedroSession.run`.

        Raises:
            InvalidInput: a runner that works on several nodes at once. They would share random
                streams, and wait for each other's folders.
        """
        if not isinstance(runner, SequentialRunner | None):
            raise InvalidInput(
                f"--runner: expected SequentialRunner, got {type(runner).__name__}: the nodes of a "
                "run work one after another. Several runs may work at once."
            )
        names = pipeline_names or [pipeline_name or "__default__"]
        loader = self.load_context().config_loader
        assert isinstance(loader, ProjectConfigLoader)
        chosen = variants(names, loader.final_parameters())
        if WHOLE.issuperset(names) and not any((tags, *args, *options.values())):
            from kedro_viz.integrations.kedro.run_hooks import PipelineRunStatusHook

            self._hook_manager.register(PipelineRunStatusHook())
        return super().run(None, chosen, tags, runner or SequentialRunner(), *args, **options)


def variants(names: Iterable[str], parameters: Parameters) -> list[str]:
    """The registered form of each pipeline for these parameters.

    Args:
        names: the pipelines as users name them.
        parameters: of the run.

    Raises:
        InvalidInput: a pipeline needs labels, and there are none.
    """
    pipelines.set_requested(None)
    known = set(pipelines)
    chosen = [_variant(name, parameters, known) for name in names]
    if not parameters.data.has_truth:
        _refuse_truth([name for name in chosen if name in known])
    return chosen


def pipelines_for(names: Iterable[str], parameters: Parameters) -> dict[str, Pipeline]:
    """Name to the pipeline that `kedro run` would take; arguments and errors as `variants`."""
    names = list(names)
    return {
        name: pipelines[form] for name, form in zip(names, variants(names, parameters), strict=True)
    }


def _refuse_truth(names: Iterable[str]) -> None:
    for name in names:
        if TRUTH in pipelines[name].all_outputs() | pipelines[name].inputs():
            raise InvalidInput(
                f"{name.partition('.')[0]} needs to know which images of unlabeled/ are sensitive: "
                "give labels.csv, and data.folder.labels: true"
            )


def _variant(name: str, parameters: Parameters, known: set[str]) -> str:
    asked = {
        BLIND: not parameters.data.has_truth,
        ESTIMATED: isinstance(parameters.beta, str),
        WATCHED: parameters.watch.every is not None,
        RELEARNED: parameters.relearning.in_report,
    }
    for suffix, is_asked in asked.items():
        if is_asked and name + suffix in known:
            name += suffix
    return name
