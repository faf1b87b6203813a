"""Tables, figures and the report page."""

from pu_diffusion_pipeline.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
