"""The boundary at which any failure becomes one short message: what, where, the way out.

The traceback goes to a file that the message names. What this package did not foresee is called a
bug of its own, so that nobody looks for the mistake in their data.
"""

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed, TrainingDiverged

DETAILS = Path("error.log")
FORESEEN = (InvalidInput, ProcessFailed, TrainingDiverged)
MOST_LINES = 6  # of a message; click's lines about the usage count
USAGE_LINES = 3
MOST_COLUMNS = 800
OF_THE_SYSTEM = re.compile(r"\(os error \d+\)")  # as safetensors tells of a full disk
MOST_LINES_OF_OTHERS = 3  # of somebody else's exception


@contextmanager
def one_short_message() -> Iterator[None]:
    """Turn what the block raises into a message of the command line.

    Raises:
        click.ClickException: with the message.
    """
    try:
        yield
    except (click.Abort, click.exceptions.Exit):
        raise
    except click.UsageError as error:
        text = _shortened(error.format_message(), MOST_LINES - USAGE_LINES)
        raise click.UsageError(text, ctx=error.ctx) from error
    except click.ClickException as error:  # Kedro's would show its type too
        raise click.ClickException(_shortened(error.format_message())) from error
    except Exception as error:
        raise click.ClickException(_shortened(_message(error))) from error


def _message(error: Exception) -> str:
    foreseen = next((one for one in _causes(error) if isinstance(one, FORESEEN)), None)
    if foreseen is not None:
        return str(foreseen)
    if _is_about_the_pipeline(error):
        return (
            f"{_first_lines(error)}\nSee --nodes, --tags and the other options that choose nodes; "
            "`kedro registry describe PIPELINE` lists the nodes of a pipeline."
        )
    if _is_about_the_catalog(error):
        return f"The catalog cannot be used: {_first_lines(error)}\nCorrect this entry in conf/."
    return _message_with_details(error, _keep_details(error))


def _keep_details(error: Exception) -> str:
    """Where the traceback is; a full or read-only disk must not hide what went wrong first."""
    path = DETAILS
    try:
        if path.is_file() and path.stat().st_mtime > psutil.Process().create_time():
            path = Path(f"error-{os.getpid()}.log")  # that of another run, which failed just now
        text = "".join(traceback.format_exception(error))
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as refusal:
        return f"no file {path} could be written ({refusal.strerror})"
    return str(path)


def _message_with_details(error: Exception, details: str) -> str:
    """The text for a user, of an exception that is not ours."""
    from kedro.config import MissingConfigException
    from kedro.io import DatasetError
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    first = list(_causes(error))[-1]
    of_configuration = (MissingConfigException, OmegaConfBaseException, YAMLError, UnicodeError)
    if isinstance(first, OSError):
        where = "" if first.filename is None else f"{first.filename}: "
        return f"{_what(error)}{where}{first.strerror or first}\nDetails: {details}"
    if OF_THE_SYSTEM.search(str(first)):
        return f"{_what(error)}{_first_lines(first)}\nDetails: {details}"
    if isinstance(error, DatasetError):
        return (
            f"{_what(error)}The file is damaged or cannot be used: {_first_lines(first)}\n"
            f"Delete it and make it anew. Details: {details}"
        )
    if isinstance(error, of_configuration):
        return f"The configuration cannot be read: {_first_lines(error)}\nDetails: {details}"
    if isinstance(first, ImportError | SyntaxError):
        return (
            f"{_place(first)}: {first.msg}\n"
            f"Correct this line, or install what it needs. Details: {details}"
        )
    return (
        f"{type(error).__name__}: {_first_lines(error)}\nThis is a bug in pu_diffusion_pipeline. "
        f"Please report it with its details: {details}"
    )


def _place(error: ImportError | SyntaxError) -> str:
    """File and line of code that cannot be imported."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    last = next((one for one in reversed(frames) if "importlib" not in one.filename), frames[-1])
    return f"{last.filename}, line {last.lineno}"


def _what(error: Exception) -> str:
    """The first line of Kedro's message, which names the data set."""
    from kedro.io import DatasetError

    return f"{str(error).strip().splitlines()[0]}\n" if isinstance(error, DatasetError) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _first_lines(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:MOST_LINES_OF_OTHERS]) or type(error).__name__


def _shortened(text: str, most_lines: int = MOST_LINES) -> str:
    """The text without its middle where it is too long: the way out stands at the end."""
    lines = text.splitlines()
    left_out = len(lines) - most_lines + 1
    if left_out > 1:
        lines = [*lines[: most_lines - 2], f"  ... {left_out} more lines ...", lines[-1]]
    return "\n".join(_narrowed(line) if len(line) > MOST_COLUMNS else line for line in lines)


def _narrowed(line: str) -> str:
    """The line without its middle. No space before the dots: half a path would be another path."""
    half = MOST_COLUMNS // 2
    return f"{line[:half]}...{line[-half:]}"


def _is_about_the_pipeline(error: Exception) -> bool:
    """Whether Kedro refused the names of --nodes, --tags and the like."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return isinstance(error, ValueError) and last.filename.endswith("kedro/pipeline/pipeline.py")


def _is_about_the_catalog(error: Exception) -> bool:
    """Whether Kedro could make no data set of a catalog's entry."""
    frames = traceback.extract_tb(error.__traceback__)
    makers = ("from_config", "_validate_dataset_config")
    return any(frame.name in makers and "/kedro/io/" in frame.filename for frame in frames)
