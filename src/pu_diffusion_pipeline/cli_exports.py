"""Carry things away: `kedro export` a model, `export-samples` the samples of a run.

`kedro sample-images` draws from what `kedro export` wrote.
"""

from pathlib import Path
from typing import Any

import click

from pu_diffusion_pipeline.command_line import Command, parse_option

MOST_IMAGES = 100_000  # their names have five digits
HELP_OPTION = {"help_option_names": ["-h", "--help"]}


@click.command(cls=Command, context_settings=HELP_OPTION)
@click.argument("out")
@click.option("-e", "--env", help="Benchmark of the run, as for `kedro run`.")
@click.option("--params", default="", callback=parse_option, help="Of the run, as for `kedro run`.")
@click.option("--method", default="pu", show_default=True, help="Whose model.")
@click.option(
    "--license", "license_name", help="Licence of the model, such as apache-2.0, for the card."
)
@click.option(
    "--push", "repository", metavar="ORG/NAME", help="Also upload it to the Hugging Face hub."
)
@click.option("--dry-run", is_flag=True, help="With --push: list what would be sent, send nothing.")
def export(out: str, params: dict[str, object], **options: Any) -> None:
    """Write the model of a finished run as a diffusers folder with a model card.

    OUT is a new folder. diffusers and torch alone can load it.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.exports.command import ExportRequest, export_model

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    export_model(ExportRequest(Path(out), parameters=params, **options), project, say=click.echo)


@click.command("export-samples", cls=Command, context_settings=HELP_OPTION)
@click.option("--to", required=True, metavar="FOLDER", help="A new or empty folder.")
@click.option("-e", "--env", help="Benchmark of the run, as for `kedro run`.")
@click.option("--params", default="", callback=parse_option, help="Of the run, as for `kedro run`.")
@click.option("--method", default="pu", show_default=True, help="Whose samples.")
@click.option("--num", type=click.IntRange(1), help="The first of them. Default: all.")
def export_samples(
    to: str, env: str | None, params: dict[str, object], method: str, num: int | None
) -> None:
    """Write the saved samples of a run as FOLDER/00000.png, 00001.png, ...

    Image i is sample i, the pixels are the saved ones. samples.json beside them says which of them
    the judge took for sensitive.
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.exports import sample_files

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    request = sample_files.SamplesRequest(Path(to), env, params, method, num)
    sample_files.export_samples(request, project, say=click.echo)


@click.command("sample-images", cls=Command, context_settings=HELP_OPTION)
@click.argument("model", metavar="OUT")
@click.option("--to", required=True, metavar="FOLDER", help="A new or empty folder.")
@click.option("--num", default=64, show_default=True, type=click.IntRange(1, MOST_IMAGES))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))
@click.option("--steps", default=30, show_default=True, type=click.IntRange(1, 100_000))
@click.option(
    "--batch-size",
    default=64,
    show_default=True,
    type=click.IntRange(1, MOST_IMAGES),
    help="Images at a time. Image i depends on the seed and on i alone.",
)
def sample_images(model: str, to: str, **options: int) -> None:
    """Draw images from an exported model as FOLDER/00000.png, 00001.png, ...

    OUT is the folder of an unconditional diffusers model, such as `kedro export` writes.
    """
    from pu_diffusion_pipeline.exports.drawing import draw_to_folder

    draw_to_folder(Path(model), Path(to), **options)
    click.echo(f"{options['num']} images in {to}")
