"""Training of one method."""

from pu_diffusion_pipeline.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
