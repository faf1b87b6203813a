"""`kedro export`: what it refuses, and what it does with a run that is not complete."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from kedro.framework.cli.cli import KedroCLI

from conftest import REPO
from exports.conftest import MODEL, OUTPUT, make_project, refusal, typed
from pu_diffusion_pipeline.experiment.claims import remember

EXPORT = ("export", "out", "--env=test")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--env=tset",), ["no benchmark 'tset'"]),
        (("--method=puu",), ["--method", "did you mean pu?", "got 'puu'"]),
        (("--method=pretrained",), ["--method", "fine-tuning starts from"]),
        (
            ("--params=seed:7",),
            ["no finished pu model", "kedro run --env=test --pipelines=train_pu --params=seed:7"],
        ),
        (("--method=oracle",), ["no finished oracle model", "--pipelines=train_oracle"]),
        (("--params=betta:1",), ["betta: unknown parameter"]),
        (("--license=a\nb",), ["--license: expected one line"]),
        (("--license=",), ["--license", "got an empty one"]),
        (("--dry-run",), ["--dry-run goes with --push"]),
        (("--push=a/b/c", "--license=mit"), ["--push: expected ORG/NAME", "'a/b/c'"]),
        (("--push=team/digits",), ["--push: expected --license too"]),
    ],
)
def test_a_mistake_gets_one_message_and_nothing_is_written(
    arguments, words, in_project, monkeypatch, tmp_path
):
    monkeypatch.chdir(in_project)
    message = refusal(*EXPORT, *arguments)
    for word in words:
        assert word in message
    assert not (in_project / "out").exists()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("conf", "expected a new folder, but conf is there"),
        ("pyproject.toml", "is there"),
        ("nowhere/out", "nowhere to write out to; make it first"),
        ("/proc/out", "/proc/out cannot be written"),
        ("pyproject.toml/out", "no folder"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused(out, words, in_project):
    assert words in refusal("export", out, "--env=test")


def test_a_project_without_configuration_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no configuration: no folder" in refusal("export", "out")


def weights(project: Path) -> Path:
    return project / MODEL / "model/unet/diffusion_pytorch_model.safetensors"


def change(path: Path) -> None:
    """Another last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, key: str, value: object) -> None:
    """Another value in a record, saved as a run would."""
    record = json.loads(path.read_text())
    *above, last = key.split(".")
    part = record
    for name in above:
        part = part[name]
    part[last] = value
    path.write_text(json.dumps(record))
    stage = "model" if path.name == "manifest.json" else "metrics"
    remember(path.with_name(f"{stage}.claim.json"), path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda project: change(weights(project)), ["is not what was saved", "train_pu"]),
        (
            lambda project: change(project / OUTPUT / "metrics.json"),
            ["metrics.json is not what was saved", "evaluate_pu"],
        ),
        (
            lambda project: change(project / OUTPUT / "judgements.csv"),
            ["judgements.csv is not what was saved", "evaluate_pu"],
        ),
        (
            lambda project: (project / MODEL / "model.claim.json").unlink(),
            ["made with other parameters", "earlier version"],
        ),
        (
            lambda project: (project / MODEL / "manifest.json").unlink(),
            ["no finished pu model", "manifest.json is not there"],
        ),
        (
            lambda project: rewrite(project / MODEL / "manifest.json", "weights_digest", "x"),
            ["the manifest of this run", "train_pu"],
        ),
        (
            lambda project: rewrite(
                project / OUTPUT / "metrics.json", "training.weights_digest", "x"
            ),
            ["the metrics of this run", "sample_pu,evaluate_pu"],
        ),
    ],
)
def test_a_run_that_was_changed_is_refused(damage, words, in_copy):
    damage(in_copy)
    message = refusal(*EXPORT)
    for word in words:
        assert word in message
    assert not (in_copy / "out").exists()


def test_a_folder_of_other_parameters_is_refused(in_copy):
    path = in_copy / "conf/test/parameters.yml"
    path.write_text(path.read_text().replace("num_steps: 6", "num_steps: 7"))
    assert "training.num_steps: made with 6, now 7" in refusal(*EXPORT)


def test_a_run_that_was_not_evaluated_is_exported_and_its_card_says_so(in_copy):
    shutil.rmtree(in_copy / OUTPUT)
    result = typed(*EXPORT)
    assert result.exit_code == 0, result.output
    assert "It was not evaluated" in result.output
    card = (in_copy / "out/README.md").read_text()
    assert "this model was not evaluated" in card
    assert not (in_copy / "out/samples.png").exists()


def test_samples_that_nobody_judged_are_not_shown(in_copy):
    (in_copy / OUTPUT / "judgements.csv").unlink()
    assert typed(*EXPORT).exit_code == 0
    assert "were not judged" in (in_copy / "out/README.md").read_text()
    assert not (in_copy / "out/samples.png").exists()


def test_an_export_that_fails_leaves_nothing(in_project, tmp_path, monkeypatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    make_project(tmp_path / "project")
    monkeypatch.chdir(in_project)
    monkeypatch.setattr("pu_diffusion_pipeline.exports.folder.render_card", full)
    (tmp_path / "place").mkdir()
    message = refusal("export", str(tmp_path / "place/out"), "--env=test")
    assert "No space left on device" in message
    assert list((tmp_path / "place").iterdir()) == []


def test_kedro_and_the_console_script_know_the_commands():
    context = click.Context(KedroCLI(REPO))
    assert {"export", "export-samples", "sample-images"} <= set(
        KedroCLI(REPO).list_commands(context)
    )
    for arguments, words in (
        (["export", "--help"], "--push ORG/NAME"),
        (["--params=beta"], "write key:value"),  # without a command's name it is `run`
    ):
        command = [sys.executable, "-m", "pu_diffusion_pipeline", *arguments]
        shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
        assert words in shown.stdout + shown.stderr
