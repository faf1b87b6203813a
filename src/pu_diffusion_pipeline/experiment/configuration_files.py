"""Configuration files: each is read by itself first, so that a message can name file and line."""

import io
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from pu_diffusion_pipeline.errors import InvalidInput


def read_mapping(path: Path) -> DictConfig:
    """A YAML or JSON file that maps names to values; an empty file is an empty mapping.

    What it returns is shared by all who read the file: only to be read.

    Raises:
        InvalidInput: it cannot be read, or it holds something else. Names the file and the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    try:
        content = _parsed(data)
    except UnicodeDecodeError as error:
        where = f"{path}, line {_line_at(data, error.start)}"
        raise InvalidInput(f"{where}: expected UTF-8, got byte {data[error.start]:#04x}") from error
    except YAMLError as error:
        raise InvalidInput(f"{path}, {_spell(error, data)}") from error
    except RecursionError as error:
        raise InvalidInput(f"{path}: its values are nested too deeply") from error
    except (OmegaConfBaseException, OSError, ValueError) as error:  # OSError: a number, for example
        raise InvalidInput(f"{path}: {first_line(error)}; {EXPECTED}") from error
    if not isinstance(content, DictConfig):
        raise InvalidInput(f"{path} holds a list; {EXPECTED}")
    _refuse_missing(OmegaConf.to_container(content), path)
    return content


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> DictConfig | ListConfig:
    """Kept: a run asks up to three times for the same files."""
    return OmegaConf.load(io.StringIO(data.decode("utf-8")))


EXPECTED = "expected a mapping of names to values, such as `seed: 3`"


def _refuse_missing(values: object, path: Path, name: object = "") -> None:
    """OmegaConf would pass over `???`, its mark of a value to come."""
    if values == "???":
        raise InvalidInput(f"{path}: {name}: expected a value instead of ???")
    if isinstance(values, dict):
        for key, value in values.items():
            _refuse_missing(value, path, key)
    elif isinstance(values, list):
        for value in values:
            _refuse_missing(value, path, name)


def first_line(error: BaseException) -> str:
    """What an exception says, without its details; its type if it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _spell(error: YAMLError, data: bytes) -> str:
    """Line, problem and the text of the line."""
    if isinstance(error, ReaderError):
        return f"line {_line_at(data, error.position)}: character {chr(int(error.character))!r}"
    if not isinstance(error, MarkedYAMLError):
        return f"which is no YAML: {first_line(error)}"
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context
    if mark is None:
        return f"which is no YAML: {problem}"
    lines = data.decode("utf-8").splitlines()
    text = lines[mark.line] if mark.line < len(lines) else "(end of the file)"
    return f"line {mark.line + 1}: {problem}: {text!r}"


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
