"""What `kedro reproduce` was asked for, and the sweep that makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pu_diffusion_pipeline.config_loader import benchmarks as benchmarks_in
from pu_diffusion_pipeline.diffusion.methods import FRONTIER
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK
from pu_diffusion_pipeline.images.options import FOLDER
from pu_diffusion_pipeline.sweeps import arguments as sweeps
from pu_diffusion_pipeline.sweeps.arguments import parse_seeds, refuse_repeats
from pu_diffusion_pipeline.sweeps.runs import configuration

TABLES = ("table2", "table3", "table4", "table5")
TARGETS = (*TABLES, "figure1", "figure2", "figure3", "figure4", "frontier")
BETAS = (0.0, 0.05, 0.0909, 0.15, 0.2, 0.3)  # of Figure 4
DEFAULT_ROWS = {
    "figure1": ("mnist_even",),
    "figure2": ("cifar10_vehicles_finetune",),
    "figure3": ("celeba_male_finetune",),
    "figure4": ("cifar10_vehicles", "cifar10_animals"),
    "frontier": ("mnist_even", "mnist_odd"),
}
METHODS_OF = {  # other targets: the paper's three, and the model that fine-tuning starts from
    "figure1": ("unsupervised", "pu"),
    "figure4": ("unsupervised", "pu"),
    "frontier": FRONTIER,
}


@dataclass(frozen=True)
class Request:
    """What to reproduce.

    Attributes:
        target: one of `TARGETS`.
        benchmarks: the environments of its rows.
        seeds: of the runs.
        betas: of Figure 4.
        parameters: overrides of every run.
    """

    target: str
    benchmarks: Sequence[str]
    seeds: Sequence[int]
    betas: Sequence[float]
    parameters: Mapping[str, object]

    @property
    def sweep(self) -> sweeps.Request:
        """The runs that the target needs."""
        return sweeps.Request(
            benchmarks=tuple(self.benchmarks),
            methods=METHODS_OF.get(self.target),
            seeds=tuple(self.seeds),
            betas=tuple(self.betas) if self.target == "figure4" else (),
            params=self.parameters,
        )


def parse_request(
    target: str,
    rows: str,
    seeds: str,
    betas: str,
    *,
    small: bool,
    parameters: Mapping[str, object],
    conf: Path,
) -> Request:
    """Check what the user typed.

    Args:
        target: one of `TARGETS`.
        rows: benchmarks, separated by commas; empty: the paper's.
        seeds: as `parse_seeds`.
        betas: as `parse_betas`.
        small: take the benchmarks with the small denoiser.
        parameters: overrides of every run.
        conf: the configuration folder.

    Raises:
        InvalidInput: no configuration, unknown target or row, unreadable seeds or betas, a
            parameter set elsewhere.
    """
    if target not in TARGETS:
        raise InvalidInput(f"no target {target!r}; there are {', '.join(TARGETS)}")
    for name in ("seed", "beta"):
        if name in parameters:
            raise InvalidInput(f"--params: {name} is set by --seeds and --betas here")
    if not conf.is_dir():
        raise InvalidInput(f"no configuration: no folder {conf}; is this the project's folder?")
    if betas and target != "figure4":
        raise InvalidInput(f"--betas is for figure4 only; for {target} leave it out")
    names = [row.strip() for row in rows.split(",")] if rows else []
    benchmarks = benchmarks_of(target, names, small, conf)
    for benchmark in benchmarks:
        _refuse_unfit(target, benchmark, conf)
    return Request(target, benchmarks, parse_seeds(seeds), parse_betas(betas), parameters)


def _refuse_unfit(target: str, benchmark: str, conf: Path) -> None:
    """The paper's tables need labels and counts, and the frontier unconditional models."""
    data = configuration(conf.parent, benchmark, {}).final_parameters().data
    if data.source == FOLDER:
        rest = "frontier" if target == "frontier" else "summarize"
        raise InvalidInput(
            f"--rows: {benchmark} has images of your own; run it with kedro run "
            f"--env={benchmark}, and kedro run --env={benchmark} --pipeline={rest}"
        )
    if target == "frontier" and data.num_conditions is not None:
        raise InvalidInput(
            f"--rows: {benchmark} is conditional; the frontier needs null in data.num_conditions"
        )


def parse_betas(text: str) -> list[float]:
    """`0,0.05,0.1` to numbers; empty: those of the default figure.

    Raises:
        InvalidInput: one is not a number in [0, 1), or there twice.
    """
    if not text:
        return list(BETAS)
    try:
        betas = [float(part) for part in text.split(",")]
    except ValueError:
        betas = [-1.0]
    if not all(0 <= beta < 1 for beta in betas):
        raise InvalidInput(f"--betas: expected numbers in [0, 1) separated by commas, got {text!r}")
    refuse_repeats("--betas", betas)
    return betas


def benchmarks_of(target: str, rows: Sequence[str], small: bool, conf: Path) -> list[str]:
    """The environments of the rows.

    Args:
        target: one of `TARGETS`.
        rows: names of environments; empty: all rows of the paper's table, or the figure's own.
        small: take `<row>_small`, the same data with the small denoiser.
        conf: the configuration folder.

    Raises:
        InvalidInput: a row is unknown, or there twice.
    """
    rows = rows or _default_rows(target)
    known = {*benchmarks_in(conf), DEFAULT_BENCHMARK}
    names = [f"{row}_small" if small else row for row in rows]
    for row, name in zip(rows, names, strict=True):
        if name not in known:
            missing = f"{name} (--small)" if small else name
            raise InvalidInput(
                f"--rows: no benchmark {missing} for row {row!r}; "
                f"there are {', '.join(sorted(known))}"
            )
    refuse_repeats("--rows", names)
    return names


def _default_rows(target: str) -> Sequence[str]:
    from pu_diffusion_pipeline.reports.summary import paper_results

    if not target.startswith("table"):
        return DEFAULT_ROWS[target]
    table = paper_results()
    return list(dict.fromkeys(table[table["table"] == int(target[-1])]["row"]))
