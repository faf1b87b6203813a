"""`kedro search`: values of beta and of other parameters, chosen one after the other."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pu_diffusion_pipeline.cli_sweep import asking, how_of, takes_how
from pu_diffusion_pipeline.command_line import Command
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK

if TYPE_CHECKING:
    from pu_diffusion_pipeline.search.space import Range


def _ranges(beta: str | None, given: tuple[str, ...]) -> "dict[str, Range]":
    """`0.05:0.3` and `training.learning_rate=1e-4:1e-3:log` to ranges, by their names."""
    from pu_diffusion_pipeline.search.space import parse_range

    ranges = {} if beta is None else {"beta": parse_range("--beta", beta)}
    for text in given:
        name, _, span = text.partition("=")
        if not name or not span:
            raise click.BadParameter(f"--set: expected NAME=LOW:HIGH, got {text!r}")
        if name in ranges:
            raise click.BadParameter(f"--set: {name} is given twice")
        ranges[name] = parse_range(f"--set {name}", span)
    return dict(sorted(ranges.items()))


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--env", default=DEFAULT_BENCHMARK, help="Benchmark. Default: the embedded digits.")
@click.option("--method", default="pu", show_default=True, help="The method that is trained.")
@click.option("--seed", default=0, show_default=True, help="Of every run, and of the search.")
@click.option("--beta", metavar="LOW:HIGH", help="Such as 0.05:0.3, for methods that use beta.")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=LOW:HIGH[:log]",
    help="A parameter and its range, such as training.learning_rate=1e-4:1e-3:log; repeatable.",
)
@click.option("--trials", default=10, show_default=True, help="How many there are at the end.")
@click.option(
    "--within",
    default=1.1,
    show_default=True,
    help="The largest Frechet distance, as a multiple of that of unsupervised training.",
)
@takes_how
def search(beta: str | None, given: tuple[str, ...], **options: Any) -> None:
    """Look for the values with the highest non-sensitive rate at a bounded Frechet distance.

    Each trial is a run as of `kedro sweep`; Optuna chooses its values by what earlier trials have
    found. Finished runs are not repeated, so the same command goes on after a stop.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.search.command import search as run_search
    from pu_diffusion_pipeline.search.space import Search
    from pu_diffusion_pipeline.sweeps.command import Talk

    asked = Search(
        benchmark=options["env"],
        method=options["method"],
        seed=options["seed"],
        ranges=_ranges(beta, given),
        params=options["params"],
        within=options["within"],
    )
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    talk = Talk(click.echo, asking(yes=options["yes"]))
    run_search(asked, project, options["trials"], how_of(options), talk)
