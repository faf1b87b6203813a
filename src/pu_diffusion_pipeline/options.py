"""Options: the typed sections of parameters.yml, which library functions take as arguments.

Beside its type, an option says when it belongs to the identity of what a run makes
(`experiment/identity.py`): always, unless it is `NEUTRAL`, `left_out_at` a value or `matters_if`.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic.fields import FieldInfo

from pu_diffusion_pipeline.errors import InvalidInput

LARGEST = 2**32  # no seed, step, image or pixel is counted this far
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Artifact:
    """What a run makes: the subject of the question whether an option matters.

    Attributes:
        values: every option by its full name, such as `data.num_conditions`.
        stage: the kind of artifact, one of `experiment.identity.STAGES`.
        method: a name in METHODS; None for what all methods share.
    """

    values: Mapping[str, object]
    stage: str
    method: str | None


@dataclass(frozen=True)
class Matters:
    """Annotation of an option: whether its value belongs to an artifact's identity."""

    test: Callable[[object, Artifact], bool]


@dataclass(frozen=True)
class Brings:
    """Annotation of an option: the sections that its value makes an artifact depend on."""

    sections: Callable[[Artifact], tuple[str, ...]]


# Changes nothing in what a run produces: where files lie, how often it logs.
NEUTRAL = Matters(lambda value, artifact: False)


def left_out_at(default: object) -> Matters:
    """Leave no trace at this value: what was made before the option existed stays the same."""
    return Matters(lambda value, artifact: value != default)


def matters_if(condition: Callable[[Artifact], bool]) -> Matters:
    """Leave the option out of the identity of artifacts for which it makes no difference."""
    return Matters(lambda value, artifact: condition(artifact))


def matters(field: FieldInfo, value: object, artifact: Artifact) -> bool:
    """Whether a field's value belongs to the identity of an artifact."""
    annotations = [item for item in field.metadata if isinstance(item, Matters)]
    return all(item.test(value, artifact) for item in annotations)


def require_one_of(value: str, known: Collection[str]) -> str:
    """The value.

    Raises:
        ValueError: it is not among the known ones; the message lists them and names a close one.
    """
    if value in known:
        return value
    close = difflib.get_close_matches(value, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"must be one of {', '.join(known)}{hint}")


def one_of(known: Collection[str]) -> AfterValidator:
    """Allow the names of a registry."""
    return AfterValidator(lambda value: require_one_of(value, known))


def single_message(message: str) -> WrapValidator:
    """Replace pydantic's one error per union member with one message."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


class Options(BaseModel):
    """A section of parameters.yml: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Pydantic would read true as 1, and takes whole numbers of any size."""
        if cls.model_fields[info.field_name or ""].annotation is not bool:
            items = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(item, bool) for item in items):
                raise ValueError("must not be true or false")
            if any(isinstance(item, int) and abs(item) >= LARGEST for item in items):
                raise ValueError(f"must be below {LARGEST}")
        return value


@contextmanager
def in_section(name: str, options: type[Options]) -> Iterator[None]:
    """Put the section before an argument that a message of the library begins with.

    The library speaks of its arguments, such as `counts`; who writes YAML knows `data.counts`.

    Args:
        name: of the section, such as `data`.
        options: its type; a message that begins with anything but a field of it stays as it is.

    Raises:
        InvalidInput: what the block raised.
    """
    try:
        yield
    except InvalidInput as error:
        if re.split(r"\W", str(error), maxsplit=1)[0] not in options.model_fields:
            raise
        raise InvalidInput(f"{name}.{error}") from error
