"""What every command of the project has: `--params=beta:0.15`, one short message on a mistake."""

from typing import Any

import click
from click.core import ParameterSource
from omegaconf import OmegaConf

from pu_diffusion_pipeline.experiment.configuration_files import first_line
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


def parse_option(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    """The callback of an option that takes parameters."""
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


class Group(Command, click.Group):
    """A command with commands of its own."""


def _refuse_empty(ctx: click.Context) -> None:
    """An option given as nothing, such as `--nodes=$UNSET`, would mean: everything."""
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and ctx.params[param.name or ""] in ("", [], {}):
            raise click.BadParameter("expected a value, got an empty one", ctx=ctx, param=param)
