"""Metrics of one method's samples."""

from pu_diffusion_pipeline.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
