"""`kedro add-images`: a benchmark of a user's own folder."""

import re
from pathlib import Path

import click

from pu_diffusion_pipeline.command_line import Command

NAME = r"[a-z0-9_]{1,100}"  # of a folder of conf/


@click.command("add-images", cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path")
@click.option("--name", required=True, help="Of the benchmark: a new folder of conf/.")
@click.option("--size", type=click.IntRange(32, 512), help="Side of the model's images, in pixels.")
@click.option(
    "--minutes",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 100_000),
    help="Of training on this machine, for each of three methods.",
)
@click.option("--pretrained", help="Model to start from: diffusers folder or hub id.")
@click.option(
    "--beta",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of sensitive images in unlabeled, if you know it; estimated by default.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["refuse", "drop"]),
    help="An image in two folders: refuse it (the default), or drop it from unlabeled or test.",
)
@click.option(
    "--most-unreadable",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of files that may be broken; 0.01 by default.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, write nothing.")
def add_images(
    path: str,
    name: str,
    size: int | None,
    minutes: float,
    pretrained: str | None,
    beta: float | None,
    dry_run: bool,
    **given: object,
) -> None:
    """Look at a folder of images, and write the settings of a benchmark that trains on it.

    PATH holds the folders unlabeled and sensitive, and perhaps normal, test and labels.csv
    (docs/own_images.md).
    """
    from kedro.utils import find_kedro_project

    from pu_diffusion_pipeline.images.folder_labels import LABELS
    from pu_diffusion_pipeline.own_images.command import add_images
    from pu_diffusion_pipeline.own_images.settings import Asked

    if not re.fullmatch(NAME, name):
        raise click.BadParameter(
            f"--name: expected up to 100 of a-z, 0-9 and _, such as photos, got {name!r}"
        )
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    folder = Path(path).resolve()
    labels = (folder / LABELS).exists()
    if pretrained is not None and Path(pretrained).is_dir():
        pretrained = str(Path(pretrained).resolve())
    how = {option: value for option, value in given.items() if value is not None}
    asked = Asked(str(folder), name, size, minutes, pretrained, beta, labels, how)
    add_images(asked, project, dry_run, say=click.echo)
