"""The engines by name; another one is a module beside `local.py` and a line here."""

from collections.abc import Callable

from pu_diffusion_pipeline.sweeps.engines.interface import Engine, Setup
from pu_diffusion_pipeline.sweeps.engines.local import LocalEngine
from pu_diffusion_pipeline.sweeps.engines.ray_cluster import RayEngine
from pu_diffusion_pipeline.sweeps.engines.slurm import SlurmEngine

ENGINES: dict[str, Callable[[Setup], Engine]] = {
    "local": LocalEngine,
    "ray": RayEngine,
    "slurm": SlurmEngine,
}
