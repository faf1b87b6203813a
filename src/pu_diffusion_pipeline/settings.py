"""Kedro's project settings."""

from pu_diffusion_pipeline.config_loader import LOADER_ARGS, ProjectConfigLoader
from pu_diffusion_pipeline.hooks import CheckFiles, CheckRequirements, Provenance
from pu_diffusion_pipeline.session import ExperimentSession
from pu_diffusion_pipeline.terminal import NameNodes, NamePages
from pu_diffusion_pipeline.tracking import TrackWithMlflow

HOOKS = (
    CheckRequirements(),
    CheckFiles(),
    Provenance(),
    NameNodes(),
    NamePages(),
    TrackWithMlflow(),
)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz",)  # it warns about every partial run; see session.WHOLE

SESSION_CLASS = ExperimentSession
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = LOADER_ARGS
