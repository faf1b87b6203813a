"""The software that made an artifact: the revision of the code, the versions of packages."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Those that shape results.
PACKAGES = (
    "accelerate",
    "diffusers",
    "kedro",
    "numpy",
    "pu_diffusion_pipeline",
    "pytorch_optimizer",
    "scikit-learn",
    "torch",
    "torch-fidelity",
    "torchvision",
)


def software() -> dict[str, object]:
    """`git_revision`, None outside a repository, and `versions` of `PACKAGES`."""
    return {
        "git_revision": _git_revision(Path(__file__).parent),
        "versions": {package: _version(package) for package in PACKAGES},
    }


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # the project itself may run uninstalled, from src/
        return "not installed"


@cache  # the code that runs is the code that was imported
def _git_revision(folder: Path) -> str | None:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
