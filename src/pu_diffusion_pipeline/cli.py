"""`kedro run` as users type it: `--params=beta:0.15`, and one short message on a mistake.

Kedro 1.7 takes only `key=value`. The command here has the built-in one's options with another
parser for --params, and hands everything on to it.
"""

import copy
import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from kedro.framework.cli.project import run as kedro_run
from omegaconf import OmegaConf

from pu_diffusion_pipeline.experiment.configuration_files import first_line, read_mapping
from pu_diffusion_pipeline.failures import one_short_message

MOST_LEVELS = 20  # of brackets and of dots; no parameter needs more than three
CLOSING = {"[": "]", "{": "}"}


def split_items(text: str) -> list[str]:
    """Split at commas outside brackets and quotes.

    Raises:
        ValueError: brackets or quotes that do not match, or too many levels.
    """
    items = [""]
    expected: list[str] = []  # the brackets that close what is open
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in CLOSING:
            expected.append(CLOSING[char])
        elif char in CLOSING.values() and (not expected or expected.pop() != char):
            raise ValueError(f"unbalanced brackets in {text!r}")
        if len(expected) > MOST_LEVELS:
            raise ValueError(f"brackets are nested more than {MOST_LEVELS} deep in {text!r}")
        if char == "," and not quote and not expected:
            items.append("")
        else:
            items[-1] += char
    if expected or quote:
        raise ValueError(f"unbalanced brackets or quotes in {text!r}")
    return [item.strip() for item in items if item.strip()]


def parse_params(text: str) -> dict[str, Any]:
    """`a.b:1,c=[1,2]` to `{"a": {"b": 1}, "c": [1, 2]}`.

    The first ':' or '=' of an item splits it.

    Raises:
        ValueError: naming the item that cannot be read.
    """
    pairs = [_split_item(item) for item in split_items(text)]
    _refuse_twice([key for key, _ in pairs])
    return _read_dotlist([f"{key}={value}" for key, value in pairs])


def _split_item(item: str) -> tuple[str, str]:
    """Key and value."""
    places = [place for place in map(item.find, ":=") if place >= 0]
    if not places:
        raise ValueError(f"{item!r} has no ':' or '='; write key:value")
    key = item[: min(places)].strip()
    value = item[min(places) + 1 :].strip()
    parts = key.split(".")
    if not all(parts):
        raise ValueError(f"{item!r} has an empty key")
    if not all(part.isidentifier() for part in parts) or len(parts) > MOST_LEVELS:
        raise ValueError(f"{key!r} is no parameter; write its name, such as training.num_steps")
    if not value:
        raise ValueError(f"{item!r} has no value; for an empty one write {key}:null")
    if value == "???":  # OmegaConf's mark of a value to come
        raise ValueError(f"{item!r} has no value")
    return key, value


def _refuse_twice(keys: list[str]) -> None:
    """Neither a key twice, nor a section beside one of its keys: one would overrule the other."""
    for number, key in enumerate(keys):
        for other in keys[:number]:
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise ValueError(f"{min(key, other)} is given twice, by {other} and by {key}")


def _read_dotlist(dotlist: list[str]) -> dict[str, Any]:
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist(dotlist))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ValueError(f"cannot read {', '.join(dotlist)}: {first_line(error)}") from error
    assert isinstance(parsed, dict)
    return {str(name): value for name, value in parsed.items()}


def _parse_option(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):  # from --config
        return value
    try:
        return parse_params(str(value))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


class Command(click.Command):
    """A command whose failures all become one short message, those of its options too."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line."""
        with one_short_message():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_short_message():
            _refuse_empty(ctx)
            return super().invoke(ctx)


def _refuse_empty(ctx: click.Context) -> None:
    """An option given as nothing, such as `--nodes=$UNSET`, would mean: everything."""
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and ctx.params[param.name or ""] in ("", [], {}):
            raise click.BadParameter("expected a value, got an empty one", ctx=ctx, param=param)


def _run(**options: Any) -> Any:
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


CALLBACKS = {"params": _parse_option, "runner_params": _parse_option, "config": _read_config}


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
run = Command(
    "run", callback=_run, params=[_option(one) for one in kedro_run.params], help=kedro_run.help
)


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
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
    reproduce_target(
        parse_request(target, parameters=params, conf=conf, **options),
        project=project,
        confirm=(lambda text: None) if yes else (lambda text: click.confirm(text, abort=True)),
        say=click.echo,
    )


cli = click.Group("pu_diffusion_pipeline", commands={"run": run, "reproduce": reproduce})
