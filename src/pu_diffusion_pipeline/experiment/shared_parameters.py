"""Parameters that several benchmarks share.

`include: [paper, mnist]` in conf/<benchmark>/parameters.yml names files of conf/shared/. They come
between conf/base and the benchmark, a later one over an earlier one (docs/decisions/0006).
"""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.configuration_files import read_mapping
from pu_diffusion_pipeline.options import require_one_of

INCLUDE = "include"


def merge_shared(
    merged: Mapping[str, object], own: Mapping[str, object], folder: Path
) -> dict[str, object]:
    """Put the files that `include` names below a benchmark's own parameters.

    Args:
        merged: base, benchmark and run-time parameters, merged in this order.
        own: those of the benchmark and the run time.
        folder: where the files are.

    Raises:
        InvalidInput: there is no such file, or it cannot be read.
    """
    names = merged[INCLUDE]
    if not isinstance(names, list):
        raise InvalidInput(f"{INCLUDE} must be a list of names of files in {folder}, got {names!r}")
    shared = [_read(str(name), folder) for name in names]
    result = OmegaConf.to_container(OmegaConf.merge(dict(merged), *shared, dict(own)))
    assert isinstance(result, dict)
    return {str(name): value for name, value in result.items() if name != INCLUDE}


def _read(name: str, folder: Path) -> DictConfig:
    try:
        require_one_of(name, sorted(path.stem for path in folder.glob("*.yml")))
    except ValueError as error:
        raise InvalidInput(f"{INCLUDE}: {error} (got {name!r}, looked in {folder})") from error
    return read_mapping(folder / f"{name}.yml")
