"""The files of deploy/: they parse, what they run exists. No container is built here."""

import re
import shlex

import pytest
import yaml

from conftest import REPO
from pu_diffusion_pipeline.cli_sweep import sweep

DEPLOY = REPO / "deploy"


def read(name: str) -> dict:
    return yaml.safe_load((DEPLOY / name).read_text())["spec"]


def job_command() -> list[str]:
    (container,) = read("kubernetes-job.yml")["template"]["spec"]["containers"]
    return container["command"]


@pytest.mark.parametrize(
    "command", [job_command(), shlex.split(read("rayjob.yml")["entrypoint"])], ids=["job", "ray"]
)
def test_the_commands_are_sweeps_that_parse_and_ask_nothing(command):
    program, name, *arguments = command
    assert (program, name) == ("kedro", "sweep")
    given = sweep.make_context(name, arguments).params
    assert given["yes"]
    for benchmark in given["env"].split(","):
        assert (REPO / "conf" / benchmark).is_dir()


def test_every_pod_mounts_the_same_claim_over_data():
    cluster = read("rayjob.yml")["rayClusterSpec"]
    pods = [
        read("kubernetes-job.yml")["template"],
        cluster["headGroupSpec"]["template"],
        *(group["template"] for group in cluster["workerGroupSpecs"]),
    ]
    for pod in pods:
        (volume,) = pod["spec"]["volumes"]
        (container,) = pod["spec"]["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == "pu-data"
        assert container["volumeMounts"] == [{"name": "data", "mountPath": "/project/data"}]


def test_the_cluster_has_the_tested_version_of_ray():
    version = read("rayjob.yml")["rayClusterSpec"]["rayVersion"]
    assert f"ray=={version} " in (REPO / "constraints.txt").read_text()


def test_the_image_copies_files_that_exist():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert "constraints.txt" in copied
    assert [name for name in copied if not (REPO / name).exists()] == []
    extras = re.findall(r"'\.\[(\w+)\]'", "\n".join(lines))
    assert extras == ["ray"]
