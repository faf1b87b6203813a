"""`kedro add-images`: look at a folder, choose settings, write a benchmark for it."""

import platform
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.diffusion.pretrained import describe_pretrained
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import DEFAULT_BENCHMARK
from pu_diffusion_pipeline.images.folder_labels import read_labels
from pu_diffusion_pipeline.images.folder_source import look_at_folder
from pu_diffusion_pipeline.own_images.settings import (
    FEWEST_STEPS,
    Asked,
    Chosen,
    choose,
    parameters_text,
    steps_for,
)
from pu_diffusion_pipeline.positive_unlabeled.best_bin import FEWEST
from pu_diffusion_pipeline.reports.data_report import FolderFacts, folder_lines
from pu_diffusion_pipeline.sweeps.timing import step_of_a_run


def add_images(asked: Asked, project: Path, dry_run: bool, say: Callable[[str], object]) -> None:
    """Write conf/<name>/parameters.yml, and say what was found and what to type next.

    Args:
        asked: what the user asked for.
        project: the project's folder.
        dry_run: say it only.
        say: prints a line.

    Raises:
        InvalidInput: the folder cannot be used, or the name is taken.
    """
    conf = project / "conf"
    target = _new_file(conf, asked)
    usual = open_loader(conf, None, {}).final_parameters()
    how = usual.data.folder.model_copy(update=dict(asked.folder))
    index, near = look_at_folder(Path(asked.path), how)
    facts = FolderFacts(index, near, asked.size or 0)
    _refuse_few(facts.counts()["sensitive"], asked)
    model = None if asked.pretrained is None else describe_pretrained(asked.pretrained)
    chosen = choose(_unmarked(facts, asked), asked, usual.data.folder.heldout_share, model)
    say("Timing a few training steps on this machine ...")
    seconds = _seconds_per_step(conf, asked, chosen)
    counts = facts.counts()
    num_images = counts["unlabeled"] + counts["sensitive"]
    num_steps = steps_for(asked.minutes, seconds, num_images, usual.training.batch_size)
    training = len(DEFAULT_METHODS) * num_steps * seconds
    for line in folder_lines(
        FolderFacts(index, near, chosen.image_size, training, labels=asked.labels)
    ):
        say(line)
    _warn_of_few(num_steps, seconds, asked.minutes, say)
    text = parameters_text(
        asked,
        chosen,
        command=_command(asked),
        counts=", ".join(f"{name}/ {count}" for name, count in counts.items() if count),
        num_steps=num_steps,
        seconds_per_step=f"{seconds:.2g}",
        machine=platform.node() or "unnamed",
    )
    if dry_run:
        say(f"\n{target} would hold:\n\n{text}")
        return
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    run = f"kedro run --env={asked.name}"
    can_be_reviewed = counts["sensitive"] >= FEWEST
    following = f"{run} --pipeline=review\nThen: {run}" if can_be_reviewed else run
    say(f"\nWritten: {target}\nNext: {following}")


def _warn_of_few(
    num_steps: int, seconds: float, minutes: float, say: Callable[[str], object]
) -> None:
    if num_steps < FEWEST_STEPS:
        say(
            f"warning: --minutes={minutes:g} gives {num_steps} steps here: expect noise; "
            f"{FEWEST_STEPS} steps need {FEWEST_STEPS * seconds / 60:.0f} minutes"
        )


def _new_file(conf: Path, asked: Asked) -> Path:
    """The file of parameters that is to be written."""
    _refuse_path(asked.path)
    name = asked.name
    target = conf / name / "parameters.yml"
    if name == DEFAULT_BENCHMARK:
        raise InvalidInput(f"--name: {name} is the default benchmark; choose another name")
    if target.parent.exists():
        raise InvalidInput(f"--name: {target.parent} exists; choose another name, or delete it")
    return target


def _refuse_path(path: str) -> None:
    """A path that parameters.yml could not hold."""
    if not path.isprintable() or "${" in path:
        raise InvalidInput(
            f"PATH: expected a folder whose name has no line break and no ${{, got {path!r}; "
            "rename it"
        )


def _unmarked(facts: FolderFacts, asked: Asked) -> pd.DataFrame:
    """The images but those of test/ that labels.csv calls sensitive: no distance uses them."""
    readable = facts.readable
    if not asked.labels:
        return readable
    labels = read_labels(asked.path, facts.index)
    sensitive = readable["path"].isin(labels["path"][labels["sensitive"]])
    return readable[~(sensitive & (readable["role"] == "test"))]


def _refuse_few(num_sensitive: int, asked: Asked) -> None:
    """With too few examples there is no share, and without labels no rate."""
    if num_sensitive < FEWEST and not (asked.labels and asked.beta):
        raise InvalidInput(
            f"sensitive/ has {num_sensitive} images: expected at least {FEWEST}, or the share of "
            "sensitive images and the rates cannot be estimated; or give labels.csv, and the share "
            "in unlabeled/ as --beta"
        )


def _seconds_per_step(conf: Path, asked: Asked, chosen: Chosen) -> float:
    settings: dict[str, object] = {
        "data": {"image_size": chosen.image_size, "channels": chosen.channels},
        "pretrained": asked.pretrained,
    }
    if asked.pretrained is not None:
        settings["training"] = {"muon_learning_rate": None}
    if chosen.block_out_channels is None:
        settings["noise"] = dict(chosen.noise)
        settings["objective"] = {"error_space": chosen.noise["prediction_type"]}
    else:
        settings["denoiser"] = {"block_out_channels": chosen.block_out_channels}
    return step_of_a_run(open_loader(conf, None, settings).final_parameters())[0]


def _command(asked: Asked) -> str:
    parts = ["kedro", "add-images", asked.path, f"--name={asked.name}"]
    parts += [f"--size={asked.size}"] if asked.size else []
    parts += [f"--minutes={asked.minutes:g}"]
    parts += [f"--pretrained={asked.pretrained}"] if asked.pretrained else []
    parts += [f"--beta={asked.beta:g}"] if asked.beta else []
    parts += [f"--{name.replace('_', '-')}={value}" for name, value in asked.folder.items()]
    return shlex.join(parts)
