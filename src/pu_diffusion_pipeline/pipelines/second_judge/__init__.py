"""A second judge, and what it says of each method's samples."""

from pu_diffusion_pipeline.pipelines.second_judge.pipeline import (
    create_opinion_pipeline,
    create_pipeline,
)

__all__ = ["create_opinion_pipeline", "create_pipeline"]
