"""Training of each method, and where it starts."""

from pu_diffusion_pipeline.pipelines.training.pipeline import (
    create_initial_pipeline,
    create_pipeline,
    create_pretraining_pipeline,
)

__all__ = ["create_initial_pipeline", "create_pipeline", "create_pretraining_pipeline"]
