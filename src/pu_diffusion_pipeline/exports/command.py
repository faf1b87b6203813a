"""`kedro export`: read a finished run, write its folder, upload it if asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.exports.card import CardOptions
from pu_diffusion_pipeline.exports.finished_run import read_run
from pu_diffusion_pipeline.exports.folder import write_folder
from pu_diffusion_pipeline.exports.new_folder import refuse_bad_place
from pu_diffusion_pipeline.exports.push import (
    Hub,
    listing,
    refuse_bad_repository,
    refuse_missing_token,
    upload,
)


@dataclass(frozen=True)
class ExportRequest:
    """What is exported, and to where.

    Attributes:
        out: the new folder.
        env: the benchmark's folder in conf/; None: the default one.
        parameters: overrides that the run was made with.
        method: whose model.
        license_name: licence of the model; None: unknown.
        repository: of the hub; None: no upload.
        dry_run: only list what would be uploaded.
    """

    out: Path
    env: str | None
    parameters: Mapping[str, object]
    method: str
    license_name: str | None
    repository: str | None
    dry_run: bool


def export_model(
    request: ExportRequest, project: Path, say: Callable[[str], object], hub: Hub | None = None
) -> None:
    """Write the folder; upload it if a repository is given and this is no dry run.

    Args:
        request: what is exported, and to where.
        project: the project's folder.
        say: prints a line.
        hub: stands for the Hugging Face hub; None: the real one.

    Raises:
        InvalidInput: options that do not go together, a place that cannot be written to, a run
            that is not finished, an upload that fails.
    """
    _check(request)
    run = read_run(project, request.env, request.parameters, request.method)
    name = request.repository or request.out.name
    write_folder(request.out, run, CardOptions(name, request.license_name))
    say(f"{request.out}: the model of {request.method}, its card README.md says what it is")
    if run.metrics is None:
        say("It was not evaluated, and its card says so.")
    if request.license_name is None:
        say("Its licence is unknown: set it in README.md before you publish it.")
    if request.repository is not None:
        _send(request.out, request.repository, request.dry_run, say, hub)


def _check(request: ExportRequest) -> None:
    """Refuse before any work what cannot end well."""
    refuse_bad_place(request.out, "OUT")
    if request.license_name is not None and not request.license_name.isprintable():
        raise InvalidInput(f"--license: expected one line, got {request.license_name!r}")
    if request.repository is None:
        if request.dry_run:
            raise InvalidInput("--dry-run goes with --push; without it nothing is sent anyway")
        return
    refuse_bad_repository(request.repository)
    if request.license_name is None:
        raise InvalidInput("--push: expected --license too, such as --license=apache-2.0")
    if not request.dry_run:
        refuse_missing_token()


def _send(
    folder: Path, repository: str, dry_run: bool, say: Callable[[str], object], hub: Hub | None
) -> None:
    for line in listing(folder):
        say(line)
    if dry_run:
        say(f"Nothing was sent to {repository}. Later: hf upload {repository} {folder}")
        return
    if hub is None:
        from huggingface_hub import HfApi

        hub = HfApi()
    upload(folder, repository, hub)
    say(f"Uploaded to https://huggingface.co/{repository}; a new repository is private.")
