"""What a run says in the terminal besides its tables: nodes, pages, what to type next."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from pu_diffusion_pipeline.config_loader import LOADER_ARGS
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK, flat, kedro_run, typed
from pu_diffusion_pipeline.hooks import path_of

# Data sets that a person opens in a browser, and what they look at where a run has made none.
PAGES = ("data_report", "review_page", "report", "relearning_page")
RESULTS = ("metrics", "summary_markdown", "class_prior")

log = logging.getLogger(__name__)


class NameNodes:
    """Logs which node runs; Kedro's own lines list every input and output instead."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the nodes."""
        self._total = len(pipeline.nodes)
        self._begun = 0

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Name the node."""
        self._begun += 1
        log.info("[%d/%d] %s", self._begun, self._total, node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say so if none was left (`--only-missing-outputs`)."""
        if not self._begun:
            log.info("Nothing to do: every output already exists")


class NamePages:
    """Logs at the end of a run which pages it has written; without any, which results.

    After a report it names what one would type next.
    """

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the commands one would type next."""
        loader = context.config_loader
        is_conditional = loader.final_parameters().data.num_conditions is not None
        given = loader.runtime_params or {}
        self._next = list(_next_commands(context.env, given, is_conditional=is_conditional))

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Keep the catalog, and what nobody in the run needs further."""
        self._catalog = catalog
        self._final = pipeline.outputs()
        self._pages: list[Path] = []
        self._results: list[Path] = []

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Note a page or a result."""
        path = path_of(self._catalog, dataset_name)
        if path is None:
            return
        if dataset_name in PAGES:
            self._pages.append(path)
        elif dataset_name in self._final and dataset_name.rpartition(".")[2] in RESULTS:
            self._results.append(path)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Name them."""
        for path in self._pages:
            log.info("Page: %s", _shown(path))
        for path in [] if self._pages else self._results:
            log.info("Result: %s", _shown(path))
        if any(path.name == "report.html" for path in self._pages):
            for command, what in self._next:
                log.info("Next: %s  (%s)", command, what)


def _next_commands(
    env: str | None, given: Mapping[str, object], *, is_conditional: bool
) -> Iterator[tuple[str, str]]:
    """What one would type after a report on a run with these overrides, and what for."""
    benchmark = [f"--env={env}"] if env and env != LOADER_ARGS["default_run_env"] else []
    params = kedro_run(DEFAULT_BENCHMARK, [], given)[1:]
    pairs = [f"{name}={value}" for name, value in flat(given).items()]
    is_plain = pairs and not any(
        "," in one for one in pairs
    )  # kedro-viz reads no lists, and no ":"
    of_viz = [f"--params={','.join(pairs)}"] if is_plain else []
    yield typed(["viz", "run", *benchmark, *of_viz]), "the DAG, with what every node made"
    if not is_conditional:
        more = ["run", *benchmark, "--pipeline=frontier", *params]
        yield typed(more), "more ways to be safe, compared"
    yield typed(["export", *benchmark, *params, "my-model"]), "the PU model as a diffusers folder"


def _shown(path: Path) -> Path:
    """From the current folder if it is below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
