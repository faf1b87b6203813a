"""Draw images from a model's folder, which may come from anybody, into PNG files."""

from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.model import load
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.exports.new_folder import refuse_bad_place
from pu_diffusion_pipeline.exports.pictures import write_pictures


def draw_to_folder(
    model: Path, to: Path, *, num: int, seed: int, steps: int, batch_size: int
) -> None:
    """Draw images with the sampler of the default parameters, in fp32.

    Args:
        model: the folder of an unconditional diffusers model with a UNet2DModel.
        to: a new or empty folder; it gets 00000.png, 00001.png, ...
        num: of images, at least 1.
        seed: image i depends on it and on i alone.
        steps: of the sampler.
        batch_size: images at a time.

    Raises:
        InvalidInput: no such model, unsafe to read, conditional, more steps than it knows; or
            `to` cannot become a new folder.
    """
    refuse_bad_place(to, "--to", empty_is_new=True)
    drawn_from = load(model)
    known = drawn_from.noise_scheduler.config["num_train_timesteps"]
    if steps > known:
        raise InvalidInput(f"--steps: expected at most {known}, as the model knows, got {steps}")
    images = drawn_from.sample_uint8(num, seed=seed, num_steps=steps, batch_size=batch_size)
    with atomic_write(to) as temporary:
        write_pictures(temporary, images)
