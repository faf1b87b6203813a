"""The classifier of sensitivity, and the images of U that a person should look at."""

from pu_diffusion_pipeline.pipelines.sensitivity.pipeline import (
    create_cleaning_pipeline,
    create_pipeline,
    create_review_pipeline,
)

__all__ = ["create_cleaning_pipeline", "create_pipeline", "create_review_pipeline"]
