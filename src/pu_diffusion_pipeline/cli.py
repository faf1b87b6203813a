"""`kedro run` as users type it: `--params=beta:0.15`, and one short message on a mistake.

Kedro 1.7 takes only `key=value`. The command here has the built-in one's options with another
parser for --params, and hands everything on to it.
"""

import copy
import difflib
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from omegaconf import OmegaConf

from pu_diffusion_pipeline.failures import one_short_message


def split_items(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    items = [""]
    depth = 0
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if char == "," and not quote and depth == 0:
            items.append("")
        else:
            items[-1] += char
    if depth or quote:
        raise ValueError(f"unbalanced brackets or quotes in {text!r}")
    return [item.strip() for item in items if item.strip()]


def parse_params(text: str) -> dict[str, Any]:
    """`a.b:1,c=[1,2]` to `{"a": {"b": 1}, "c": [1, 2]}`.

    The first ':' or '=' of an item splits it.

    Raises:
        ValueError: naming the item that cannot be read.
    """
    return _read_dotlist([_as_dotlist(item) for item in split_items(text)])


def _as_dotlist(item: str) -> str:
    places = [place for place in map(item.find, ":=") if place >= 0]
    if not places:
        raise ValueError(f"{item!r} has no ':' or '='; write key:value")
    key = item[: min(places)].strip()
    value = item[min(places) + 1 :].strip()
    if not key or not all(key.split(".")):
        raise ValueError(f"{item!r} has an empty key")
    if not value:
        raise ValueError(f"{item!r} has no value; for an empty one write {key}:null")
    return f"{key}={value}"


def _read_dotlist(dotlist: list[str]) -> dict[str, Any]:
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist(dotlist))
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"cannot read {', '.join(dotlist)}: {error}") from error
    assert isinstance(parsed, dict)
    return {str(name): value for name, value in parsed.items()}


def _parse_option(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):  # from --config
        return value
    try:
        return parse_params(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def _run(**options: Any) -> Any:
    _widen_output_outside_terminals()
    if options.get("pipeline") and not options["pipelines"]:  # Kedro deprecates what users type
        options["pipelines"] = [options["pipeline"]]
        options["pipeline"] = None
    _check_pipelines(options["pipelines"])
    if options["env"] is not None and not options["env"].strip():  # Kedro would take the default
        raise click.BadParameter("--env: expected the name of a folder of conf/, got an empty one")
    assert kedro_run.callback is not None
    with one_short_message():
        return kedro_run.callback(**options)


def _widen_output_outside_terminals() -> None:
    """In a file or a pipe, rich would break lines at 80 columns."""
    import rich

    if not rich.get_console().is_terminal:
        rich.reconfigure(width=180)


def _check_pipelines(names: Any) -> None:
    """Refuse an unknown pipeline by name, with the known ones."""
    from pu_diffusion_pipeline.pipeline_registry import pipeline_names, register_pipelines

    for name in names or ():
        if name not in register_pipelines():
            known = pipeline_names()
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.BadParameter(f"no pipeline {name!r}.{hint} There are: {', '.join(known)}")


def _option(option: click.Parameter) -> click.Parameter:
    """An option of Kedro's command, with our parser and help where they differ."""
    option = copy.copy(option)
    if option.name == "params":
        option.callback = _parse_option
    if isinstance(option, click.Option) and option.name in HELP:
        option.help = HELP[option.name]
    return option


HELP = {
    "params": "Parameters to override: key:value or key=value, separated by commas; nested keys "
    "as a.b:1.",
    "env": "Benchmark: a folder of conf/, such as mnist_even. Default: the embedded digits.",
}
run = click.Command(
    "run", callback=_run, params=[_option(one) for one in kedro_run.params], help=kedro_run.help
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target")
@click.option("--rows", default="", help="Benchmarks, separated by commas. Default: the paper's.")
@click.option("--seeds", default="0-4", show_default=True, help="Such as 0-4 or 0,2,5.")
@click.option("--betas", default="", help="Figure 4: such as 0,0.05,0.1.")
@click.option("--small", is_flag=True, help="Benchmarks with the small denoiser: minutes on a CPU.")
@click.option(
    "--params", default="", callback=_parse_option, help="As for `kedro run`; each run's."
)
@click.option("--yes", is_flag=True, help="Do not ask before running.")
def reproduce(target: str, params: dict[str, Any], yes: bool, **options: Any) -> None:
    """Make the runs of a table or figure of the paper that are missing, and render it.

    TARGET is one of table2, table3, table4, table5, figure1, figure2, figure3, figure4.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.reproduction.arguments import parse_request
    from pu_diffusion_pipeline.reproduction.command import reproduce_target

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    conf = project / "conf"
    with one_short_message():
        reproduce_target(
            parse_request(target, parameters=params, conf=conf, **options),
            project=project,
            confirm=(lambda text: None) if yes else (lambda text: click.confirm(text, abort=True)),
            say=click.echo,
        )


cli = click.Group("pu_diffusion_pipeline", commands={"run": run, "reproduce": reproduce})
