"""The share of sensitive images in U, and the beta that training uses."""

from pu_diffusion_pipeline.pipelines.prior_estimation.pipeline import (
    create_beta_pipeline,
    create_pipeline,
)

__all__ = ["create_beta_pipeline", "create_pipeline"]
