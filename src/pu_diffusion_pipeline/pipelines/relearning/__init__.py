"""How fast a model that was protected learns sensitive images again."""

from pu_diffusion_pipeline.pipelines.relearning.pipeline import (
    create_page_pipeline,
    create_pipeline,
)

__all__ = ["create_page_pipeline", "create_pipeline"]
