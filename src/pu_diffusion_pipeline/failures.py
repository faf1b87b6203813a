"""The boundary at which any failure becomes one short message: what, where, the way out.

The traceback goes to a file that the message names. What this package did not foresee is called a
bug of its own, so that nobody looks for the mistake in their data.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed, TrainingDiverged

DETAILS = Path("error.log")
FORESEEN = (InvalidInput, ProcessFailed, TrainingDiverged)
MOST_LINES = 4  # of the message of somebody else's exception


@contextmanager
def one_short_message() -> Iterator[None]:
    """Turn what the block raises into a message of the command line.

    Raises:
        click.ClickException: with the message.
    """
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        foreseen = next((one for one in _causes(error) if isinstance(one, FORESEEN)), None)
        if foreseen is not None:
            raise click.ClickException(str(foreseen)) from error
        raise click.ClickException(_message(error, _keep_details(error))) from error


def _keep_details(error: Exception) -> str:
    """Where the traceback is; a full or read-only disk must not hide what went wrong first."""
    try:
        DETAILS.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as refusal:
        return f"no file {DETAILS} could be written ({refusal.strerror})"
    return str(DETAILS)


def _message(error: Exception, details: str) -> str:
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
    if isinstance(error, DatasetError):
        return (
            f"{_what(error)}The file is damaged or cannot be used: {_shortened(first)}\n"
            f"Delete it and make it anew. Details: {details}"
        )
    if isinstance(error, of_configuration):
        return f"The configuration cannot be read: {_shortened(error)}\nDetails: {details}"
    if _is_about_the_pipeline(error):
        return f"{_shortened(error)}\n`kedro registry list` names the pipelines."
    return (
        f"{type(error).__name__}: {_shortened(error)}\nThis is a bug in pu_diffusion_pipeline. "
        f"Please report it with its details: {details}"
    )


def _what(error: Exception) -> str:
    """The first line of Kedro's message, which names the data set."""
    from kedro.io import DatasetError

    return f"{str(error).strip().splitlines()[0]}\n" if isinstance(error, DatasetError) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _shortened(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:MOST_LINES]) or type(error).__name__


def _is_about_the_pipeline(error: Exception) -> bool:
    """Whether Kedro refused the names of --nodes, --tags and the like."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and frames[-1].filename.endswith(
        "kedro/pipeline/pipeline.py"
    )
