"""What a search was asked for, and the runs it can make."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK, flat
from pu_diffusion_pipeline.options import require_one_of
from pu_diffusion_pipeline.sweeps.arguments import make_request
from pu_diffusion_pipeline.sweeps.runs import Configured, Run, configuration, nested, open_run

REFERENCE = "unsupervised"  # whose distance the limit is a multiple of
DIGITS = 3  # significant ones of a value: names of folders stay readable, and runs are met again
OWN_OPTIONS = {"seed": "--seed", "beta": "--beta"}
BETAS = ("beta", "sensitivity.beta")  # numbers, though words are allowed too
Values = Mapping[str, float]  # parameter to value


class Range(NamedTuple):
    """The values that a parameter may take.

    Attributes:
        low, high: its ends, both included.
        is_log: whether factors count, not differences.
        is_whole: whether only whole numbers are possible.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def at(self, share: float) -> float:
        """The value at a share of its length."""
        if self.is_log:
            return self.rounded(self.low * (self.high / self.low) ** share)
        return self.rounded(self.low + (self.high - self.low) * share)

    def rounded(self, value: float) -> float:
        """The value of few digits that a run is made with."""
        number = float(format(value, f".{DIGITS}g"))
        number = min(max(number, self.low), self.high)
        return round(number) if self.is_whole else number


def parse_range(option: str, text: str) -> Range:
    """`0.05:0.3`, or `1e-4:1e-3:log`.

    Args:
        option: for messages, such as `--beta`.
        text: what was given.

    Raises:
        InvalidInput: it cannot be read, or its ends are the wrong way round.
    """
    low, _, rest = text.partition(":")
    high, _, kind = rest.partition(":")
    try:
        found = Range(float(low), float(high), kind == "log")
    except ValueError:
        found = Range(math.nan, math.nan)
    if not (math.isfinite(found.low) and math.isfinite(found.high)) or kind not in ("", "log"):
        raise InvalidInput(f"{option}: expected LOW:HIGH or LOW:HIGH:log, got {text!r}")
    if found.low >= found.high:
        raise InvalidInput(f"{option}: expected LOW below HIGH, got {text!r}")
    if found.is_log and found.low <= 0:
        raise InvalidInput(f"{option}: expected LOW above 0 with log, got {text!r}")
    return found


class Search(NamedTuple):
    """What to look for: the highest non-sensitive rate whose distance is not too large.

    Attributes:
        benchmark: the environment.
        method: a name in METHODS.
        seed: of every run.
        ranges: parameter to what it may be.
        params: overrides of every run, nested.
        within: the largest distance, as a multiple of that of REFERENCE with the same seed.
    """

    benchmark: str = DEFAULT_BENCHMARK
    method: str = "pu"
    seed: int = 0
    ranges: Mapping[str, Range] = {}
    params: Mapping[str, object] = {}
    within: float = 1.1

    def to_json(self) -> str:
        """All of it, in an order of its own."""
        ranges = {name: one._asdict() for name, one in self.ranges.items()}
        return json.dumps({**self._asdict(), "ranges": ranges}, indent=1, sort_keys=True)

    @property
    def name(self) -> str:
        """Of the search's folder: the same for the same search."""
        digest = hashlib.sha256(self.to_json().encode()).hexdigest()[:8]
        return f"{self.benchmark}-{self.method}-{digest}"


class Space:
    """The runs of a search.

    Args:
        search: what was asked for.
        project: the project's folder.

    Raises:
        InvalidInput: an unknown benchmark, method or parameter; a range that leaves what is
            allowed, or that makes no difference to the method; nothing to search.
    """

    def __init__(self, search: Search, project: Path) -> None:
        _check(search, project)
        self.search = search
        self._runs: dict[tuple[str, str], Run] = {}
        self._base = Configured(
            project, configuration(project, search.benchmark, nested(self._given({})))
        )
        self.ranges = {name: self._typed(name, one) for name, one in search.ranges.items()}
        ends = {name: one.low for name, one in self.ranges.items()}
        lowest = self.run_at(ends)
        for name, one in self.ranges.items():
            if self.run_at({**ends, name: one.high}).metrics == lowest.metrics:
                raise InvalidInput(
                    f"{_option(name)}: {name} makes no difference to {search.method}"
                )

    def _typed(self, name: str, found: Range) -> Range:
        usual = flat(self._base.parameters.model_dump()).get(name)
        if isinstance(usual, bool) or (isinstance(usual, str | list) and name not in BETAS):
            raise InvalidInput(f"{_option(name)}: expected a parameter that is a number")
        if not isinstance(usual, int):
            return found
        if found.low % 1 or found.high % 1:
            raise InvalidInput(
                f"{_option(name)}: expected whole numbers, got {found.low:g}:{found.high:g}"
            )
        return Range(int(found.low), int(found.high), found.is_log, is_whole=True)

    def run_at(self, values: Values) -> Run:
        """The run with these values of the parameters in `ranges`."""
        return self._run(self.search.method, values)

    @property
    def reference(self) -> Run:
        """Whose distance is compared with."""
        return self._run(REFERENCE, {})

    def _run(self, method: str, values: Values) -> Run:
        given = nested(self._given(values))
        key = (method, repr(given))
        if key not in self._runs:
            configured = self._base.with_parameters(given)
            self._runs[key] = open_run(self.search.benchmark, method, given, configured)
        return self._runs[key]

    def _given(self, values: Values) -> dict[str, object]:
        return {**flat(self.search.params), "seed": self.search.seed, **values}


def _check(search: Search, project: Path) -> None:
    if not search.ranges:
        raise InvalidInput("nothing to search: give --beta=LOW:HIGH or --set NAME=LOW:HIGH")
    if not (math.isfinite(search.within) and search.within > 0):
        raise InvalidInput(f"--within: expected a number above 0, got {search.within:g}")
    for name, option in OWN_OPTIONS.items():
        if name in flat(search.params) and (name in search.ranges or name == "seed"):
            raise InvalidInput(f"{name} is set by {option} here, not by --params")
    if "seed" in search.ranges:
        raise InvalidInput("seed is set by --seed here, not by --set")
    try:
        require_one_of(search.method, METHODS)
    except ValueError as error:
        raise InvalidInput(f"--method: {error}") from error
    given = {
        "benchmarks": (search.benchmark,),
        "methods": (search.method,),
        "set": {name: one[:2] for name, one in search.ranges.items() if name != "beta"},
        "params": {name: one for name, one in search.params.items() if name != "beta"},
    }
    make_request(given, project / "conf", "search")
    if "beta" in search.ranges and not METHODS[search.method].uses_beta:
        raise InvalidInput(f"--beta: {search.method} does not use beta; leave it out")


def _option(name: str) -> str:
    return OWN_OPTIONS.get(name, f"--set {name}")
