"""`kedro sweep`: methods, seeds, betas and other parameters, in every combination."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pu_diffusion_pipeline.command_line import Command, parse_option, parse_params, split_items
from pu_diffusion_pipeline.experiment.commands import flat

if TYPE_CHECKING:
    from pu_diffusion_pipeline.sweeps.command import How


def _parse_set(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, list[object]]:
    """`training.learning_rate=1e-3,1e-4` to a name and its values."""
    values: dict[str, list[object]] = {}
    try:
        for text in given:
            first, *rest = split_items(text) or [text]
            pairs = list(flat(parse_params(first)).items())
            if len(pairs) != 1:
                raise ValueError(f"expected NAME=VALUE,..., got {text!r}")
            name, value = pairs[0]
            if name in values:
                raise ValueError(f"{name} is given twice")
            values[name] = [value, *(_value(one) for one in rest)]
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return values


def _value(text: str) -> object:
    return parse_params(f"value={text}")["value"]


def _parse_engine_options(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """`partition=gpu` to a name and its value."""
    pairs = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value:
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", ctx, param)
        pairs[name] = value
    return pairs


HOW = (
    click.option("--params", default="", callback=parse_option, help="As for `kedro run`; each's."),
    click.option("--engine", default="local", show_default=True, help="local, ray or slurm."),
    click.option("--workers", type=int, help="Runs at once. Default: 1, or as GPUs have room."),
    click.option("--gpus-per-run", type=float, help="Such as 0.5: two runs on each GPU."),
    click.option("--cpus-per-run", type=click.IntRange(1), help="Ray, Slurm: CPUs, and threads."),
    click.option("--memory-per-run", type=float, help="Ray, Slurm: gigabytes for a run."),
    click.option(
        "--engine-option",
        multiple=True,
        callback=_parse_engine_options,
        metavar="NAME=VALUE",
        help="Slurm: an option of sbatch, such as partition=gpu; repeatable.",
    ),
    click.option(
        "--wait/--leave",
        default=True,
        help="Where the same command works already: wait for it (the default), or leave.",
    ),
    click.option("--dry-run", is_flag=True, help="Show the runs and their commands, run nothing."),
    click.option("--yes", is_flag=True, help="Do not ask before running."),
)


def takes_how(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options on how runs are made."""
    for option in reversed(HOW):
        command = option(command)
    return command


def how_of(options: Mapping[str, object]) -> "How":
    """What these options say."""
    from pu_diffusion_pipeline.sweeps.command import How

    policy = "wait" if options["wait"] else "leave"
    given = {**How._field_defaults, **options, "policy": policy}
    return How._make(given[name] for name in How._fields)


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--env", help="Benchmarks, separated by commas. Default: the embedded digits.")
@click.option("--methods", help="Such as pu,clean, or all that can run. Default: the paper's.")
@click.option("--seeds", help="Such as 0-4 (the default) or 0,2,5.")
@click.option("--betas", help="Such as 0.05,0.1, for methods that use beta. Default: one.")
@click.option(
    "--set",
    multiple=True,
    callback=_parse_set,
    metavar="NAME=VALUE,...",
    help="A parameter and its values, such as training.learning_rate=1e-3,1e-4; repeatable.",
)
@takes_how
def sweep(
    file: Path | None,
    **options: object,
) -> None:
    """Run methods with seeds, betas and values of other parameters, several at once.

    FILE asks for the same in YAML: benchmarks, methods, seeds, betas, set, params. Finished runs
    are not repeated, so the same command goes on after a stop.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.sweeps.arguments import make_request, read_request
    from pu_diffusion_pipeline.sweeps.command import Talk
    from pu_diffusion_pipeline.sweeps.command import sweep as run_sweep

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    fields = {"env": "benchmarks"}
    names = ("env", "methods", "seeds", "betas", "set", "params")
    given = {fields.get(name, name): options[name] for name in names if options[name]}
    if file is not None and given:
        raise click.UsageError(f"{file} says what to run: leave out the options that do so too")
    conf = project / "conf"
    request = read_request(file, conf) if file else make_request(given, conf)
    talk = Talk(click.echo, asking(yes=bool(options["yes"])))
    run_sweep(request, project, how_of(options), talk)


def asking(*, yes: bool) -> Callable[[str], object]:
    """What asks the user whether to go on."""
    return (lambda text: None) if yes else (lambda text: click.confirm(text, abort=True))
