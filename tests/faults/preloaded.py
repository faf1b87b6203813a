"""What a run imports and registers, once, in the server that the runs are forked from."""

import importlib
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

for name in (
    "accelerate",
    "diffusers.models.unets.unet_2d",
    "diffusers.pipelines.ddpm.pipeline_ddpm",
    "kedro.framework.cli.project",
    "kedro_datasets.json",
    "kedro_datasets.pandas",
    "kedro_datasets.plotly",
    "kedro_datasets.text",
    "matplotlib.pyplot",
    "plotly.graph_objects",
    "pyarrow.parquet",
    "pu_diffusion_pipeline.metrics.judge",
    "pu_diffusion_pipeline.pipeline_registry",
    "pu_diffusion_pipeline.reports.page",
    "pu_diffusion_pipeline.training.job",
    "sklearn.svm",
    "torchvision",
):
    importlib.import_module(name)

importlib.import_module("pu_diffusion_pipeline.pipeline_registry").register_pipelines()
