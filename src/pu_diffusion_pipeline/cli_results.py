"""`kedro results`: the finished runs as a table, as a file, or two side by side."""

from pathlib import Path

import click

from pu_diffusion_pipeline.command_line import Command, Group

HELP_OPTION = {"help_option_names": ["-h", "--help"]}
FROM = click.option(
    "--from",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Runs that were copied there, such as docs/results, instead of those in data/.",
)


@click.group("results", cls=Group, invoke_without_command=True, context_settings=HELP_OPTION)
@FROM
@click.option("-e", "--env", help="Only runs of this benchmark.")
@click.option("--methods", default="all", help="Such as pu,unsupervised.")
@click.option("--seeds", default="all", help="Such as 0-4 or 0,2,5.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITIONS",
    help="On any parameter or metric, such as 'fd<50,sampling.sampler=ddim'. All must hold.",
)
@click.option("--sort", metavar="COLUMN", help="With - before it, the largest first: -nsr.")
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a .csv or .parquet file with every parameter and metric instead.",
)
@click.pass_context
def results(
    ctx: click.Context,
    folder: Path | None,
    env: str | None,
    methods: str,
    seeds: str,
    where: tuple[str, ...],
    sort: str | None,
    to: Path | None,
) -> None:
    """All finished runs, with the parameters in which they differ.

    `kedro results compare RUN RUN` shows two of them side by side.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = folder
        return
    from pu_diffusion_pipeline.results.choosing import Wanted
    from pu_diffusion_pipeline.results.command import show_results
    from pu_diffusion_pipeline.sweeps.arguments import parse_seeds

    names = [] if methods == "all" else [name.strip() for name in methods.split(",")]
    numbers = [] if seeds == "all" else parse_seeds(seeds)
    wanted = Wanted(env, names, numbers, where, sort)
    show_results(_project(), folder, wanted, to, say=click.echo)


@results.command("compare", cls=Command, context_settings=HELP_OPTION)
@FROM
@click.argument("one", metavar="RUN")
@click.argument("other", metavar="RUN")
@click.pass_context
def compare(ctx: click.Context, folder: Path | None, one: str, other: str) -> None:
    """Two runs side by side: the parameters that differ, and each metric.

    RUN is an id of `kedro results`, or the run's folder.
    """
    from pu_diffusion_pipeline.results.command import show_comparison

    show_comparison(_project(), folder or ctx.obj, (one, other), say=click.echo)


def _project() -> Path:
    from kedro.utils import find_kedro_project

    return find_kedro_project(Path.cwd()) or Path.cwd()
