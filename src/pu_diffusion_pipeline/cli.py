"""The project's commands: `kedro run` as users type it, and those of the project itself.

Kedro 1.7 takes only `key=value`. The `run` here has the built-in one's options with another parser
for --params, and hands everything on to it.
"""

import copy
import difflib
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from pu_diffusion_pipeline.cli_exports import export, export_samples, sample_images
from pu_diffusion_pipeline.cli_own_images import add_images
from pu_diffusion_pipeline.cli_results import results
from pu_diffusion_pipeline.cli_search import search
from pu_diffusion_pipeline.cli_sweep import asking, sweep
from pu_diffusion_pipeline.command_line import Command, parse_option, parse_params
from pu_diffusion_pipeline.experiment.configuration_files import read_mapping

__all__ = ["cli", "parse_params", "run"]


def _run(*, quiet: bool, verbose: bool, **options: Any) -> Any:
    _set_levels(quiet, verbose)
    _widen_output_outside_terminals()
    if options.get("pipeline") and not options["pipelines"]:  # Kedro deprecates what users type
        options["pipelines"] = [options["pipeline"]]
        options["pipeline"] = None
    _check_pipelines(options["pipelines"])
    _check_runner(options["runner"], options["runner_params"])
    if options["load_versions"]:
        raise click.BadParameter(
            "--load-versions: no data set has versions here; --env and --params choose a run"
        )
    assert kedro_run.callback is not None
    return kedro_run.callback(**options)


def _set_levels(quiet: bool, verbose: bool) -> None:
    """Only warnings and the tables, or Kedro's lines on every node and data set too."""
    if quiet and verbose:
        raise click.BadParameter("--quiet and --verbose: expected at most one of them")
    if quiet:
        logging.getLogger("pu_diffusion_pipeline").setLevel(logging.WARNING)
    if verbose:
        for name in ("kedro.pipeline.node", "kedro.io.data_catalog", "kedro.runner"):
            logging.getLogger(name).setLevel(logging.INFO)


def _widen_output_outside_terminals() -> None:
    """In a file or a pipe, rich would break lines at 80 columns."""
    import rich

    if not rich.get_console().is_terminal:
        rich.reconfigure(width=180)


def _check_pipelines(names: Any) -> None:
    """Refuse an unknown pipeline by name, with the known ones."""
    from pu_diffusion_pipeline.pipeline_registry import pipeline_names, register_pipelines

    registered = register_pipelines() if names else {}
    for name in names or ():
        if name not in registered:
            known = pipeline_names()
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.BadParameter(f"no pipeline {name!r}.{hint} There are: {', '.join(known)}")


def _check_runner(name: str | None, params: Any) -> None:
    """Refuse what is no runner, and what the runner does not take."""
    from kedro.runner import AbstractRunner
    from kedro.utils import load_obj

    try:
        runner = load_obj(name or "SequentialRunner", "kedro.runner")
    except (ImportError, AttributeError, ValueError):
        runner = None
    if not (isinstance(runner, type) and issubclass(runner, AbstractRunner)):
        raise click.BadParameter(f"--runner: expected SequentialRunner, got {name!r}")
    try:
        inspect.signature(runner).bind(**params)
    except TypeError as error:
        raise click.BadParameter(f"--runner-params: {runner.__name__} {error}") from error


def _read_config(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Take options from a file, as Kedro does, once it is sure that the file holds them."""
    command = ctx.info_name or ""
    if value and not isinstance(read_mapping(Path(value)).get(command), Mapping):
        raise click.BadParameter(f"{value}: expected a mapping called {command}", ctx, param)
    callback = next(one.callback for one in kedro_run.params if one.name == param.name)
    assert callback is not None
    return callback(ctx, param, value)


CALLBACKS = {"params": parse_option, "runner_params": parse_option, "config": _read_config}


def _option(option: click.Parameter) -> click.Parameter:
    """An option of Kedro's command, with our parser and help where they differ."""
    option = copy.copy(option)
    option.callback = CALLBACKS.get(option.name or "", option.callback)
    if isinstance(option, click.Option) and option.name in HELP:
        option.help = HELP[option.name]
    return option


HELP = {
    "params": "Parameters to override: key:value or key=value, separated by commas; nested keys "
    "as a.b:1.",
    "env": "Benchmark: a folder of conf/, such as mnist_even. Default: the embedded digits.",
}
VOLUME = [
    click.Option(["--quiet"], is_flag=True, help="Only warnings and tables."),
    click.Option(["--verbose"], is_flag=True, help="Every node and data set that Kedro touches."),
]
run = Command(
    "run",
    callback=_run,
    params=[*(_option(one) for one in kedro_run.params), *VOLUME],
    help=kedro_run.help,
)


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target")
@click.option("--rows", default="", help="Benchmarks, separated by commas. Default: the paper's.")
@click.option("--seeds", default="0-4", show_default=True, help="Such as 0-4 or 0,2,5.")
@click.option("--betas", default="", help="Figure 4: such as 0,0.05,0.1.")
@click.option("--small", is_flag=True, help="Benchmarks with the small denoiser: minutes on a CPU.")
@click.option("--params", default="", callback=parse_option, help="As for `kedro run`; each run's.")
@click.option("--workers", type=int, help="Runs at once. Default: 1, or one a GPU.")
@click.option("--yes", is_flag=True, help="Do not ask before running.")
def reproduce(
    target: str, params: dict[str, Any], workers: int | None, yes: bool, **options: Any
) -> None:
    """Make the missing runs of a table or figure of the paper, or of the frontier, and render it.

    TARGET is one of table2, table3, table4, table5, figure1, figure2, figure3, figure4,
    frontier.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.reproduction.arguments import parse_request
    from pu_diffusion_pipeline.reproduction.command import reproduce_target
    from pu_diffusion_pipeline.sweeps.command import How, Talk

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    conf = project / "conf"
    target_request = parse_request(target, parameters=params, conf=conf, **options)
    talk = Talk(click.echo, asking(yes=yes))
    reproduce_target(target_request, project, How(workers=workers), talk)


cli = click.Group("pu_diffusion_pipeline")
for command in (
    *(run, sweep, search, reproduce, add_images, export, export_samples, sample_images, results),
):
    cli.add_command(command)
