"""A training that does not fit into memory is refused before its first step."""

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

import tiny_training
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training import memory
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.job import run_job
from pu_diffusion_pipeline.training.memory import estimate, kept_per_image, refuse_too_large


def with_free(monkeypatch, size: int | None) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: size)


def check(**training) -> None:
    parts = tiny_training.prepared(**training)
    refuse_too_large(parts.learner, parts.draws, tiny_training.job(**training).training)


def refusal(**training) -> str:
    with pytest.raises(InvalidInput) as refused:
        check(**training)
    return str(refused.value)


def test_a_refusal_gives_the_figures_and_what_it_proposes_fits(monkeypatch):
    with_free(monkeypatch, 10**9)
    message = refusal(batch_size=30_000)
    found = re.fullmatch(
        r"training\.batch_size: 30000 needs about [\d.]+ GB of memory on cpu, 1\.0 GB are free; "
        r"write at most (\d+), or training\.micro_batches: (\d+)",
        message,
    )
    assert found, message
    largest, parts = map(int, found.groups())
    check(batch_size=largest)
    check(batch_size=30_000, micro_batches=parts)
    assert f"write at most {largest}" in refusal(batch_size=largest + 10)


def test_a_training_that_fits_says_what_it_needs(monkeypatch, caplog):
    with_free(monkeypatch, 10**9)
    with caplog.at_level("INFO", logger=memory.__name__):
        check(batch_size=16)
    assert re.fullmatch(
        r"Memory: about [\d.]+ MB for batches of 16 \([\d.]+ [kM]B, [\d.]+ [kM]B for each image "
        r"and [\d.]+ [kM]B for each computed at once\); 1\.0 GB free",
        caplog.messages[-1],
    )


def test_a_training_is_refused_before_its_first_step(monkeypatch):
    with_free(monkeypatch, 10**5)
    job = tiny_training.job()
    before = [weight.clone() for weight in job.model.unet.parameters()]
    with pytest.raises(InvalidInput, match=r"training\.batch_size: 8 needs .* write at most 0$"):
        tiny_training.train_job(job, tiny_training.sets())
    assert all(map(torch.equal, before, job.model.unet.parameters()))


@pytest.mark.slow
def test_each_of_several_processes_refuses(tmp_path):
    job = tiny_training.job(batch_size=10**8, num_processes=2)
    with pytest.raises(InvalidInput, match=r"100000000 needs about .* on cpu in each process, "):
        run_job(job, CheckpointStore(tmp_path / "states"), tiny_training.sets())


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    with_free(monkeypatch, 10**9)
    check(batch_size=512)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert " 125 MB are free" in refusal(batch_size=512)


def test_where_the_free_memory_is_unknown_nothing_is_refused(monkeypatch):
    with_free(monkeypatch, None)
    check(batch_size=10**9)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("num_conditions", [None, 3])
def test_the_estimate_changes_neither_weights_nor_random_numbers(precision, num_conditions):
    parts = tiny_training.prepared(compute={"precision": precision}, num_conditions=num_conditions)
    denoiser = parts.learner.unwrapped
    denoiser.register_to_config(dropout=0.5)
    denoiser.register_forward_pre_hook(lambda *given: pytest.fail("the denoiser has computed"))
    before = {name: weight.clone() for name, weight in denoiser.state_dict().items()}
    random = torch.get_rng_state()
    refuse_too_large(parts.learner, parts.draws, tiny_training.job().training)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(one, before[name]) for name, one in denoiser.state_dict().items())
    assert all(weight.device.type == "cpu" for weight in denoiser.parameters())


class Network(torch.nn.Module):
    """tanh(x W) V."""

    config: ClassVar = {"sample_size": 4, "in_channels": 3, "num_class_embeds": None}

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(48, 7)
        self.outer = torch.nn.Linear(7, 5)

    @classmethod
    def from_config(cls, config):
        return cls()

    def forward(self, images, timesteps):
        return self.outer(self.inner(images.flatten(1)).tanh())


def test_what_is_kept_is_the_input_of_each_layer_once_and_no_weights():
    accelerator = SimpleNamespace(device=torch.device("cpu"))
    learner = SimpleNamespace(unwrapped=Network(), accelerator=accelerator)
    assert kept_per_image(learner) == (48 + 7) * 4


def test_images_of_sets_that_the_method_does_not_look_at_are_left_out():
    shares = {
        method: estimate(parts.learner, parts.draws).images_share
        for method in ("unsupervised", "pu", "pnu")
        for parts in [tiny_training.prepared(method)]
    }
    assert shares == {"unsupervised": 40 / 52, "pu": 1, "pnu": 9 / 8}


PEAK = """
import sys
from pathlib import Path
import numpy as np
from diffusers import DDPMPipeline
from omegaconf import OmegaConf
import tiny_training as tiny
from pu_diffusion_pipeline.diffusion.compute import reuse_freed_memory
from pu_diffusion_pipeline.training.loop import training_steps
from pu_diffusion_pipeline.training.memory import estimate

raw = OmegaConf.to_container(OmegaConf.load(tiny.CONF / "base/parameters.yml"))
batch_size, micro_batches = map(int, sys.argv[1:])
raw["training"] |= {"batch_size": batch_size, "micro_batches": micro_batches}
raw["compute"]["precision"] = "fp32"
options = tiny.load_parameters(raw)
unet = tiny.build_denoiser(options.denoiser, 32, 1, 0)
scheduler = tiny.build_noise_scheduler(**options.noise.model_dump())
job = tiny.Job(
    DDPMPipeline(unet=unet, scheduler=scheduler), "pu", 0.1, 0,
    options.training, options.objective, options.compute, "peak",
)
pictures = np.zeros((300, 1, 32, 32), dtype=np.uint8)
sets = tiny.TrainingSets(tiny.ImageSet(pictures), tiny.ImageSet(pictures), None)
parts = tiny.prepare(job, sets)

def peak():  # of this program alone: getrusage counts the process that it was forked from
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

estimated = estimate(parts.learner, parts.draws).total(batch_size, micro_batches)
before = peak()
reuse_freed_memory()
steps = training_steps(*parts)
for _ in range(3):
    next(steps)
print(estimated, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("batch_size", "micro_batches"),
    [pytest.param(*given, marks=pytest.mark.slow) for given in ((32, 1), (128, 1), (128, 4))],
)
def test_the_estimate_is_near_the_measured_growth(batch_size, micro_batches):
    given = [sys.executable, "-c", PEAK, str(batch_size), str(micro_batches)]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(given, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    estimated, measured = map(int, done.stdout.split())
    assert 0.6 < estimated / measured < 1.6, f"{estimated} bytes estimated, {measured} measured"
