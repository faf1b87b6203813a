"""`kedro run` as users of this project type it: --params=beta:0.15 or beta=0.15; one short message for a mistake.

Kedro 1.7 takes only `key=value`; this command replaces the built-in one and hands everything else on to it.
"""

import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from omegaconf import OmegaConf

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed, TrainingDiverged


def split_items(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    items, current, depth, quote = [], "", 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "," and depth == 0:
            items.append(current)
            current = ""
            continue
        current += char
    if depth or quote:
        raise ValueError(f"unbalanced brackets or quotes in {text!r}")
    return [item.strip() for item in [*items, current] if item.strip()]


def parse_params(text: str) -> dict[str, Any]:
    """`a.b:1,c=[1,2]` to `{"a": {"b": 1}, "c": [1, 2]}`; the first ':' or '=' of an item splits it.

    Raises:
        ValueError: naming the item that cannot be read.
    """
    dotlist = []
    for item in split_items(text):
        at = min((place for place in map(item.find, ":=") if place >= 0), default=-1)
        key, value = item[:at].strip(), item[at + 1 :].strip()
        if at < 0:
            raise ValueError(f"{item!r} has no ':' or '='; write key:value")
        if not key or not all(key.split(".")):
            raise ValueError(f"{item!r} has an empty key")
        if not value:
            raise ValueError(f"{item!r} has no value; for an empty one write {key}:null")
        dotlist.append(f"{key}={value}")
    return _read_dotlist(dotlist)


def _read_dotlist(dotlist: list[str]) -> dict[str, Any]:
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist(dotlist))  # type: ignore[return-value]
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"cannot read {', '.join(dotlist)}: {error}") from error


def _parse_option(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):  # from --config
        return value
    try:
        return parse_params(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def _callback(**options: Any) -> Any:
    from kedro.config import MissingConfigException
    from kedro.io import DatasetError

    if options.get("pipeline") and not options["pipelines"]:  # the singular option is deprecated, and what users type
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    _check_pipelines(options["pipelines"])
    try:
        return kedro_run.callback(**options)
    except (InvalidInput, ProcessFailed, TrainingDiverged, MissingConfigException) as error:
        raise click.ClickException(str(error)) from error
    except DatasetError as error:
        if isinstance(error.__cause__, InvalidInput | OSError):
            raise click.ClickException(str(error).strip()) from error
        raise


def _check_pipelines(names: Any) -> None:
    """Refuse an unknown pipeline by name, with the known ones."""
    import difflib

    from pu_diffusion_pipeline.pipeline_registry import pipeline_names

    for name in names or ():
        if name not in (known := pipeline_names()):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.BadParameter(f"no pipeline {name!r}.{hint} There are: {', '.join(known)}")


run = copy.copy(kedro_run)
run.callback = _callback
run.params = [copy.copy(option) for option in kedro_run.params]
for _option in run.params:
    if _option.name == "params":
        _option.callback = _parse_option
        _option.help = "Parameters to override: key:value or key=value, separated by commas; nested keys as a.b:1."
    if _option.name == "env":
        _option.help = "Benchmark: a folder of conf/, such as mnist_even. Default: the embedded digits."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target")
@click.option("--rows", default="", help="Benchmarks, separated by commas. Default: all of the paper's.")
@click.option("--seeds", default="0-4", show_default=True, help="Such as 0-4 or 0,2,5.")
@click.option("--betas", default="", help="Figure 4: such as 0,0.05,0.1.")
@click.option("--small", is_flag=True, help="Take the benchmarks with the small denoiser: minutes on a CPU.")
@click.option("--params", default="", callback=_parse_option, help="As for `kedro run`; for every run.")
@click.option("--yes", is_flag=True, help="Do not ask before running.")
def reproduce(target: str, rows: str, seeds: str, betas: str, small: bool, params: dict[str, Any], yes: bool) -> None:
    """Make the runs of a table or figure of the paper that are missing, and render it.

    TARGET is one of table2, table3, table4, table5, figure1, figure2, figure3, figure4.
    """
    from pathlib import Path

    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.reproduction.command import reproduce_target

    try:
        reproduce_target(
            target,
            [row.strip() for row in rows.split(",") if row.strip()],
            seeds,
            betas,
            small=small,
            parameters=params,
            project=find_kedro_project(Path.cwd()) or Path.cwd(),
            confirm=(lambda text: None) if yes else (lambda text: click.confirm(text, abort=True)),
            say=click.echo,
        )
    except InvalidInput as error:
        raise click.ClickException(str(error)) from error


cli = click.Group("pu_diffusion_pipeline", commands={"run": run, "reproduce": reproduce})
