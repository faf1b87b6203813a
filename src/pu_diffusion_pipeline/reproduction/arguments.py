"""What `kedro reproduce` was asked for."""

from collections.abc import Sequence
from pathlib import Path

from pu_diffusion_pipeline.commands import DEFAULT_BENCHMARK
from pu_diffusion_pipeline.errors import InvalidInput

TARGETS = ("table2", "table3", "table4", "table5", "figure1", "figure2", "figure3", "figure4")
BETAS = (0.0, 0.05, 0.0909, 0.15, 0.2, 0.3)  # of Figure 4
DEFAULT_ROWS = {
    "figure1": ("mnist_even",),
    "figure2": ("cifar10_vehicles_finetune",),
    "figure3": ("celeba_male_finetune",),
    "figure4": ("cifar10_vehicles", "cifar10_animals"),
}


def parse_seeds(text: str) -> list[int]:
    """`0-4` or `0,2,5-7` to a list of seeds.

    Raises:
        InvalidInput: it cannot be read.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()) or ("-" in part and not last):
            raise InvalidInput(f"--seeds: expected such as 0-4 or 0,2,5, got {text!r}")
        seeds += range(int(first), int(last or first) + 1)
    if not seeds or len(set(seeds)) != len(seeds):
        raise InvalidInput(f"--seeds: expected at least one seed and none twice, got {text!r}")
    return seeds


def parse_betas(text: str) -> list[float]:
    """`0,0.05,0.1` to numbers; empty: those of the default figure.

    Raises:
        InvalidInput: one is no number in [0, 1).
    """
    if not text:
        return list(BETAS)
    try:
        betas = [float(part) for part in text.split(",")]
    except ValueError:
        betas = [-1.0]
    if not all(0 <= beta < 1 for beta in betas):
        raise InvalidInput(f"--betas: expected numbers in [0, 1) separated by commas, got {text!r}")
    return betas


def benchmarks_of(target: str, rows: Sequence[str], small: bool, conf: Path) -> list[str]:
    """The environments of the rows.

    Args:
        target: one of `TARGETS`.
        rows: names of environments; empty: all rows of the paper's table, or the figure's own.
        small: take `<row>_small`, the same data with the small denoiser.
        conf: the configuration folder.

    Raises:
        InvalidInput: a row is unknown.
    """
    from pu_diffusion_pipeline.reports.summary import paper_results

    if not rows:
        table = paper_results()
        own = table[table["table"] == int(target[-1])]["row"] if target.startswith("table") else DEFAULT_ROWS[target]
        rows = list(dict.fromkeys(own))
    known = {path.parent.name for path in conf.glob("*/parameters.yml")} - {"base"} | {DEFAULT_BENCHMARK}
    names = [f"{row}_small" if small else row for row in rows]
    for row, name in zip(rows, names, strict=True):
        if name not in known:
            missing = f"{name} (--small)" if small else name
            raise InvalidInput(f"--rows: no benchmark {missing} for row {row!r}; there are {', '.join(sorted(known))}")
    return names
