"""The exported folder: a diffusers pipeline, its model card and a picture of samples."""

from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.saved_pipeline import saved_pipeline
from pu_diffusion_pipeline.exports.card import CardOptions, Grid, render_card
from pu_diffusion_pipeline.exports.finished_run import FinishedRun, JudgedSamples
from pu_diffusion_pipeline.reports.figures import mosaic

COLUMNS = 8
PICTURE = "samples.png"


def write_folder(folder: Path, run: FinishedRun, options: CardOptions) -> None:
    """Write a run's model as a folder that diffusers can load, or nothing.

    Args:
        folder: a new one.
        run: whose model.
        options: what the card says beside what the run knows.
    """
    pipeline = saved_pipeline(run.denoiser, run.noise_scheduler)
    grid = None if run.samples is None else Grid.of(run.samples.sensitive)
    with atomic_write(folder) as temporary:
        pipeline.save_pretrained(str(temporary), safe_serialization=True)
        card = render_card(run, type(pipeline).__name__, grid, options)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        if run.samples is not None and grid is not None and grid.shown:
            _write_picture(run.samples, temporary / PICTURE)


def _write_picture(samples: JudgedSamples, path: Path) -> None:
    """The samples that the judge took for normal; the others are shown to nobody."""
    mosaic(samples.images[~samples.sensitive], COLUMNS).save(path, "PNG")
