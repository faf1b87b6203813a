"""Kedro's project settings."""

import warnings

import rich

from pu_diffusion_pipeline.config import ProjectConfigLoader
from pu_diffusion_pipeline.hooks import CheckFiles, CheckParameters, NameNodes

# omegaconf's note to kedro, and kedro's to users of namespaces: nothing that a user of this project can act on.
warnings.filterwarnings("ignore", message=r"\s*register_new_resolver\(\) is deprecated")
warnings.filterwarnings("ignore", message=r".*dataset names contain '\.' characters.*")

if not rich.get_console().is_terminal:
    rich.reconfigure(width=180)  # in a file or a pipe, rich would break lines at 80 columns

HOOKS = (CheckParameters(), CheckFiles(), NameNodes())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz",)  # it warns at length about every partial run

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},  # --params=training.num_steps:9 keeps training's other keys
}
