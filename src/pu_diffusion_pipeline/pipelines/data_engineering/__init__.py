"""Source images to U, S, test and judge images."""

from pu_diffusion_pipeline.pipelines.data_engineering.pipeline import (
    create_oracle_pipeline,
    create_pipeline,
    create_report_pipeline,
)

__all__ = ["create_oracle_pipeline", "create_pipeline", "create_report_pipeline"]
