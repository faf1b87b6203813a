"""Tables, figures and the report page."""

from pu_diffusion_pipeline.pipelines.reporting.pipeline import (
    create_figure1_pipeline,
    create_figure4_pipeline,
    create_frontier_pipeline,
    create_pipeline,
    create_summary_pipeline,
)

__all__ = [
    "create_figure1_pipeline",
    "create_figure4_pipeline",
    "create_frontier_pipeline",
    "create_pipeline",
    "create_summary_pipeline",
]
