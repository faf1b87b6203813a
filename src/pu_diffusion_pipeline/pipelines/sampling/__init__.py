"""Samples of one method's model."""

from pu_diffusion_pipeline.pipelines.sampling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
