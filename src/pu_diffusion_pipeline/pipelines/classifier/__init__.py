"""The judge and its accuracy."""

from pu_diffusion_pipeline.pipelines.classifier.pipeline import create_pipeline

__all__ = ["create_pipeline"]
