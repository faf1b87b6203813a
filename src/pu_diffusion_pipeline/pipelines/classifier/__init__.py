"""The judge, its accuracy, and its features of the real test images."""

from pu_diffusion_pipeline.pipelines.classifier.pipeline import (
    create_pipeline,
    create_reference_pipeline,
)

__all__ = ["create_pipeline", "create_reference_pipeline"]
