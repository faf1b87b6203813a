"""What a sweep was asked for: from the command line, or from a file with the same fields."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from omegaconf import OmegaConf
from pydantic import BeforeValidator, ValidationError, model_validator

from pu_diffusion_pipeline.config_loader import benchmarks
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK, flat
from pu_diffusion_pipeline.experiment.configuration_files import read_mapping
from pu_diffusion_pipeline.options import Options, require_one_of

SEEDS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
MOST_SEEDS = 1000
ALL = "all"
OWN_OPTIONS = {"seed": "--seeds", "beta": "--betas"}
LONGEST_NAME = 60  # characters of the benchmarks in the name of a folder


def parse_seeds(text: str) -> list[int]:
    """`0-4` or `0,2,5-7` to a list of seeds.

    Raises:
        InvalidInput: it cannot be read, or a seed is there twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = SEEDS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise InvalidInput(f"--seeds: expected such as 0-4 or 0,2,5, got {text!r}")
        seeds += range(first, min(last, first + MOST_SEEDS) + 1)
    if len(seeds) > MOST_SEEDS:
        raise InvalidInput(f"--seeds: expected at most {MOST_SEEDS} of them, got {text!r}")
    refuse_repeats("--seeds", seeds)
    return seeds


def refuse_repeats(option: str, values: Sequence[object]) -> None:
    """Refuse a value that is there twice.

    Raises:
        InvalidInput: naming the option.
    """
    spelled = [json.dumps(value) for value in values]
    if len(set(spelled)) != len(spelled):
        raise InvalidInput(f"{option}: expected none twice, got {', '.join(spelled)}")


def _seeds(value: object) -> object:
    return parse_seeds(value) if isinstance(value, str) else value


def _betas(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [_number(part.strip()) for part in value.split(",")]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # estimated, or a mistake that the parameter's own check names


def _names(value: object) -> object:
    if isinstance(value, str) and value != ALL:
        return [part.strip() for part in value.split(",")]
    return value


class Request(Options):
    """What to run: every combination, but nothing twice that has the same result.

    Attributes:
        benchmarks: the environments; `digits_even` is the default one.
        methods: names in METHODS; all: those that a benchmark can run; None: the paper's, and the
            model that fine-tuning starts from where there is one.
        seeds: of the runs.
        betas: for methods that use beta; none: the benchmark's.
        set: parameter, such as `training.learning_rate`, to its values.
        params: overrides of every run, nested.
    """

    benchmarks: Annotated[tuple[str, ...], BeforeValidator(_names)] = (DEFAULT_BENCHMARK,)
    methods: Annotated[tuple[str, ...] | Literal["all"] | None, BeforeValidator(_names)] = None
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = (0, 1, 2, 3, 4)
    betas: Annotated[tuple[float | str, ...], BeforeValidator(_betas)] = ()
    set: Mapping[str, tuple[object, ...]] = {}
    params: Mapping[str, object] = {}

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Request":
        methods = () if self.methods is None or self.methods == ALL else self.methods
        for name in methods:
            _refuse_unknown_method(name)
        needed: dict[str, Sequence[object]] = {
            "--env": self.benchmarks,
            "--seeds": self.seeds,
            **{f"--set {name}": values for name, values in self.set.items()},
        }
        for option, values in needed.items():
            if not values:
                raise InvalidInput(f"{option}: expected at least one value")
        for option, values in {**needed, "--methods": methods, "--betas": self.betas}.items():
            refuse_repeats(option, values)
        self._refuse_parameters_twice()
        return self

    def _refuse_parameters_twice(self) -> None:
        given = list(flat(self.params))
        for name, option in OWN_OPTIONS.items():
            if name in given or name in self.set:
                raise InvalidInput(f"{name} is set by {option} here, not by --params or --set")
        for number, name in enumerate(self.set):
            for other in [*given, *list(self.set)[:number]]:
                if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                    raise InvalidInput(f"--set {name}: {other} is given too; one would overrule")

    def choices(self) -> Iterator[dict[str, object]]:
        """Each combination of the values of `set`."""
        names = list(self.set)
        chosen: list[dict[str, object]] = [{}]
        for name in names:
            chosen = [{**one, name: value} for one in chosen for value in self.set[name]]
        yield from chosen

    def to_yaml(self) -> str:
        """The file that asks for it again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @property
    def name(self) -> str:
        """Of the sweep's folder: the same for the same request."""
        digest = hashlib.sha256(self.to_yaml().encode()).hexdigest()[:8]
        return f"{'+'.join(self.benchmarks)[:LONGEST_NAME]}-{digest}"


def _refuse_unknown_method(name: str) -> None:
    try:
        require_one_of(name, METHODS)
    except ValueError as error:
        raise InvalidInput(f"--methods: {error} (got {name!r})") from error


def make_request(given: Mapping[str, object], conf: Path, source: str = "sweep") -> Request:
    """Check what the user gave; every value of a parameter is checked when the runs are planned.

    Args:
        given: fields of `Request`; lists may be text, as on the command line.
        conf: the configuration folder.
        source: what the fields come from, for messages.

    Raises:
        InvalidInput: no configuration, an unknown field, benchmark or method, something twice.
    """
    if not conf.is_dir():
        raise InvalidInput(f"no configuration: no folder {conf}; is this the project's folder?")
    try:
        request = Request.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            message = f"unknown field; known: {', '.join(Request.model_fields)}"
        is_ours = message.startswith("--") or not name
        raise InvalidInput(message if is_ours else f"{source}: {name}: {message}") from error
    known = {*benchmarks(conf), DEFAULT_BENCHMARK}
    for benchmark in request.benchmarks:
        if benchmark not in known:
            raise InvalidInput(
                f"--env: no benchmark {benchmark!r}; there are {', '.join(sorted(known))}"
            )
    return request


def read_request(path: Path, conf: Path) -> Request:
    """A request from a file that `kedro sweep` saved, or that somebody wrote.

    Raises:
        InvalidInput: as `make_request`, and if the file cannot be read.
    """
    content = OmegaConf.to_container(read_mapping(path))
    assert isinstance(content, dict)
    return make_request({str(name): value for name, value in content.items()}, conf, str(path))
