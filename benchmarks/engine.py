"""Speed of training and sampling against the plain diffusers loop.

`make bench` writes docs/benchmarks.md. Ratios are of medians of alternating rounds in one run,
because a machine's speed drifts. Parts: step, profile, sampling, scaling, data, memory, work;
`--parts step,data` runs some, the others keep their numbers from docs/results/benchmarks.json.
"""

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline
from engine_page import page
from plain import training_steps
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.synthetic import synthetic_digits
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.training import loop
from pu_diffusion_pipeline.training import train as in_process
from pu_diffusion_pipeline.training.batches import length_in_steps, select_rows
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets

REPO = Path(__file__).resolve().parents[1]
RESULTS, PAGE = REPO / "docs/results/benchmarks.json", REPO / "docs/benchmarks.md"
BY_HAND = "<!-- From here on by hand: `make bench` keeps it. -->"
MODELS = {"paper's U-Net": ("mnist_even", 16), "small U-Net": (None, 64)}  # environment, batch size
PLAIN_STEPS = 20  # of DDPMPipeline's 1,000 that are timed
FAST = {"num_steps": 15, "karras_sigmas": False, "exponential_sigmas": True}
PLAIN = "plain diffusers, fp32"
VARIANTS = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "bf16, untuned": {
        "precision": "bf16",
        "untuned": True,
    },  # without what docs/decisions/0005 describes
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
    "bf16, channels_last, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
}


def parameters(env: str | None, **training: Any) -> Parameters:
    """The configuration of an environment; batches of 64 and AdamW, as the plain loop."""
    usual = {"batch_size": 64, "muon_learning_rate": None}
    given = {"training": {**usual, **training}}
    return open_loader(REPO / "conf", env, given).final_parameters()


def images_like(settings: Parameters, count: int) -> np.ndarray:
    """(count, C, H, W) uint8, made up."""
    size, channels = settings.data.image_size, settings.data.channels
    digits, _ = synthetic_digits(per_class=-(-count // 10), size=size)
    return np.ascontiguousarray(np.repeat(digits[:count, None], channels, axis=1))


class Timed:
    """An objective that notes when it is called: once a step."""

    def __init__(self, objective: Any) -> None:
        self.objective, self.times = objective, []

    def __call__(self, denoising_error: Any, labels: Any) -> Any:
        """As the objective."""
        self.times.append(time.perf_counter())
        return self.objective(denoising_error, labels)


class Ours:
    """Training by this package.

    Args:
        options: parameters of the training.
        images: (N, C, H, W) uint8; an eleventh of them is S.
        precision: fp32 or bf16.
        untuned: without what docs/decisions/0005 describes.
        compute: options of computing that differ.
    """

    def __init__(
        self,
        options: Parameters,
        images: np.ndarray,
        precision: str,
        untuned: bool = False,
        **compute: bool,
    ) -> None:
        if untuned:
            loop.use_fast_attention = lambda denoiser, device: None
            in_process.reuse_freed_memory = lambda: None
        cut = len(images) // 11
        self.sets = TrainingSets(ImageSet(images[cut:]), ImageSet(images[:cut]))
        self.objective = Timed(build_objective("pu", 0.1, "non_negative"))
        how = {"device": "cpu", "precision": precision, **compute}
        self.job = Job(
            build_model(options, images),
            "pu",
            0.1,
            0,
            options.training,
            options.objective,
            options.compute.model_copy(update=how),
            "train",
        )

    def steps(self) -> list[float]:
        """Seconds of the steps of a training, without the first two."""
        self.objective.times = []
        in_process.train(self.job, self.sets, objective=self.objective)
        return np.diff(self.objective.times)[2:].tolist()


def build_model(options: Parameters, images: np.ndarray) -> DDPMPipeline:
    """Where training starts."""
    unet = build_denoiser(options.denoiser, images.shape[-1], images.shape[1], seed=0)
    return DDPMPipeline(unet=unet, scheduler=build_noise_scheduler(**options.noise.model_dump()))


class Plain:
    """Training by the plain loop."""

    def __init__(self, settings: Parameters, images: np.ndarray) -> None:
        self.settings, self.images = settings, images
        self.denoiser = build_denoiser(settings.denoiser, images.shape[-1], images.shape[1], seed=0)

    def steps(self) -> list[float]:
        """Seconds of the steps of a training, without the first two."""
        training = self.settings.training
        times = [
            time.perf_counter()
            for _ in training_steps(
                self.denoiser, self.images, training.batch_size, training.num_steps
            )
        ]
        return np.diff(times)[2:].tolist()


def matmul_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """GFLOP/s of a square matrix product."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    left @ right
    begun = time.perf_counter()
    for _ in range(5):
        left @ right
    return 5 * 2 * size**3 / (time.perf_counter() - begun) / 1e9


def flops_of_a_step(settings: Parameters, images: np.ndarray) -> float:
    """Of forward and backward pass of a whole batch."""
    denoiser = build_denoiser(settings.denoiser, images.shape[-1], images.shape[1], seed=0)
    batch = torch.zeros(2, *images.shape[1:])
    with FlopCounterMode(display=False) as counter:
        denoiser(batch, torch.zeros(2, dtype=torch.int64)).sample.sum().backward()
    return counter.get_total_flops() / 2 * settings.training.batch_size


class Alone:
    """A variant in a process of its own, waiting between turns: one must not help another."""

    def __init__(self, model: str, variant: str, steps: int) -> None:
        command = [
            sys.executable,
            __file__,
            "--variant",
            variant,
            "--model",
            model,
            "--steps",
            str(steps),
        ]
        self.peak_bytes = 0
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def steps(self) -> list[float]:
        """Seconds of the steps of a turn."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        turn = json.loads(self.process.stdout.readline())
        self.peak_bytes = turn["peak_bytes"]
        return turn["seconds"]

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def step_settings(model: str, steps: int) -> Parameters:
    """Parameters of the training that is timed."""
    env, batch_size = MODELS[model]
    return parameters(
        env,
        num_steps=steps,
        num_epochs=None,
        batch_size=batch_size,
        checkpoint_every=100,
        log_every=100,
        warmup_steps=2,
        batches="stratified",
    )


def take_turns(model: str, variant: str, steps: int) -> None:
    """What a process of `Alone` does: for every line it reads, a turn."""
    settings = step_settings(model, steps)
    images = images_like(settings, 2200)
    one = (
        Plain(settings, images) if variant == PLAIN else Ours(settings, images, **VARIANTS[variant])
    )
    for _ in sys.stdin:
        seconds, peak = one.steps(), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


def part_step(options: argparse.Namespace) -> dict[str, Any]:
    """Training steps of every variant against the plain loop."""
    found = {}
    for name in MODELS:
        settings = step_settings(name, options.steps)
        batch_size, flops = (
            settings.training.batch_size,
            flops_of_a_step(settings, images_like(settings, 10)),
        )
        kinds = [
            PLAIN,
            *(kind for kind, how in VARIANTS.items() if options.compile or not how.get("compile")),
        ]
        variants = {kind: Alone(name, kind, options.steps) for kind in kinds}
        for one in variants.values():
            one.steps()
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        rates: dict[str, list[float]] = {"fp32": [], "bf16": []}
        for turn in range(options.rounds):
            rates["fp32"].append(matmul_rate(torch.float32))
            rates["bf16"].append(matmul_rate(torch.bfloat16))
            for kind, one in variants.items():
                seconds[kind].append(statistics.median(one.steps()))
                print(f"{name}, round {turn}, {kind}: {seconds[kind][-1]:.3f} s a step", flush=True)
        for one in variants.values():
            one.stop()
        rate = {kind: statistics.median(values) for kind, values in rates.items()}
        rows = {}
        for kind, values in seconds.items():
            ratios = [there / here for there, here in zip(seconds[PLAIN], values, strict=True)]
            speed = flops / statistics.median(values) / 1e9
            rows[kind] = {
                "seconds": statistics.median(values),
                "images_per_second": batch_size / statistics.median(values),
                "ratio": statistics.median(ratios),
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
                "gflops": speed,
                "share_of_bf16_matmul": speed / rate["bf16"],
                "peak_bytes": variants[kind].peak_bytes,
            }
        found[name] = {"batch_size": batch_size, "gflop": flops / 1e9, "matmul": rate, "rows": rows}
    return found


OPERATIONS = {
    "convolutions, backward": ("aten::convolution_backward",),
    "convolutions, forward": ("aten::mkldnn_convolution",),
    "attention": ("aten::_scaled_dot_product",),
    "copies, most of them casts": ("aten::copy_",),
    "AdamW": ("aten::_fused_adamw_",),
    "group norm and SiLU": ("aten::native_group_norm", "aten::silu"),
}


def part_profile(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each kind of operation in an untuned bf16 step, in a process of its own."""
    found = {}
    for name in MODELS:
        command = [
            sys.executable,
            __file__,
            "--profile",
            "--model",
            name,
            "--steps",
            str(options.steps),
        ]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(result.stdout.splitlines()[-1])
    return found


def profile_of(model: str, steps: int) -> dict[str, float]:
    """Milliseconds a step of each of `OPERATIONS` and of all else."""
    settings = step_settings(model, steps)
    one = Ours(settings, images_like(settings, 2200), precision="bf16", untuned=True)
    one.steps()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        one.steps()
    spent = {
        event.key: event.self_cpu_time_total / 1000 / steps for event in profiler.key_averages()
    }
    found = {kind: sum(spent.pop(key) for key in [key for key in spent if key.startswith(names)])
             for kind, names in OPERATIONS.items()}  # fmt: skip
    return {**found, "all else": sum(spent.values())}


def part_work(options: argparse.Namespace) -> dict[str, Any]:
    """TFLOP of a training step, and of training and sampling as a whole, of rows of the paper."""
    found = {}
    for env in ("mnist_even", "cifar10_vehicles", "stl10_vehicles", "celeba_male"):
        settings = parameters(env)
        counts, training = settings.data.counts, settings.training
        with torch.device("meta"):
            step = flops_of_a_step(
                settings, np.empty((2, settings.data.channels, *2 * (settings.data.image_size,)))
            )
            denoiser = build_denoiser(
                settings.denoiser, settings.data.image_size, settings.data.channels, seed=0
            )
        images = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
        steps = length_in_steps(
            training.num_steps, training.num_epochs, images, training.batch_size
        )
        denoised = settings.sampling.num_images * settings.sampling.num_steps
        found[env] = {
            "million_parameters": sum(weight.numel() for weight in denoiser.parameters()) / 1e6,
            "batch_size": training.batch_size,
            "tflop_a_step": step / 1e12,
            "steps": steps,
            "pflop_training": step * steps / 1e15,
            "pflop_sampling": step
            / training.batch_size
            / 3
            * denoised
            / 1e15,  # a forward pass is a third
        }
    return found


def trained_model(kind: str) -> Path:
    """The trained default model."""
    folder = REPO / "data/06_models/digits_even/pu/beta_0.1-seed_0/model"
    if not folder.is_dir():
        sys.exit(
            f"{kind} needs the trained default model: run `kedro run` (or `make demo`) first; "
            f"no {folder}"
        )
    return folder


def part_sampling(options: argparse.Namespace) -> dict[str, Any]:
    """500 images of the default model: ours against DDPMPipeline with 1,000 steps in float32."""
    from pu_diffusion_pipeline.diffusion.saved_pipeline import as_trained
    from pu_diffusion_pipeline.metrics.fidelity import (
        build_extractor,
        extract_features,
        frechet_distance,
    )
    from pu_diffusion_pipeline.metrics.judge import Judge

    folder = trained_model("sampling")
    judge = Judge.from_pretrained(REPO / "data/06_models/digits_even/judge/default/model")
    test = ImageSet.from_pretrained(REPO / "data/03_primary/digits_even/default/test").images
    usual = parameters(None).sampling.model_copy(update={"num_images": 500})
    model = as_trained(
        DDPMPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    )
    model.set_progress_bar_config(disable=True)
    plain = DDPMPipeline(unet=model.unet, scheduler=model.scheduler)
    plain.set_progress_bar_config(disable=True)

    def sample_plainly(steps: int) -> np.ndarray:
        made = [
            plain(
                batch_size=250,
                generator=torch.Generator().manual_seed(batch),
                num_inference_steps=steps,
                output_type="np",
            ).images
            for batch in range(2)
        ]
        return (np.concatenate(made) * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)

    begun = time.perf_counter()
    sample_plainly(PLAIN_STEPS)
    plain_seconds = (time.perf_counter() - begun) * 1000 / PLAIN_STEPS
    extractor = build_extractor("judge", judge, None)
    real = extract_features(test, extractor, 500, "cpu")

    def distance(images: np.ndarray) -> float:
        return frechet_distance(
            extract_features(np.ascontiguousarray(images), extractor, 500, "cpu"), real
        )

    def row(changes: dict[str, Any]) -> dict[str, Any]:
        sampling = usual.model_copy(update=changes)
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            images = sample_images(
                model.unet, model.scheduler, sampling, seed=0, compute=Compute("cpu", "bf16")
            )
            seconds.append(time.perf_counter() - begun)
        return {
            "name": f"{sampling.sampler}, {sampling.num_steps} {sampling.sigmas} steps, bf16",
            "seconds": statistics.median(seconds),
            "ratio": plain_seconds / statistics.median(seconds),
            "frechet_distance": distance(images),
        }

    return {
        "model": f"{folder.parents[2].name}, {folder.parents[1].name}, {folder.parent.name}",
        "ours": [row({}), row(FAST)],
        "plain_seconds": plain_seconds,
        "plain_steps_timed": PLAIN_STEPS,
        "plain_frechet_distance": distance(sample_plainly(1000)) if options.full_ddpm else None,
    }


def part_scaling(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step by batch, image and data set size; small U-Net, bf16."""
    found: dict[str, Any] = {}
    length = {"num_steps": 12, "checkpoint_every": 100, "log_every": 100}

    def step(settings: Parameters, images: np.ndarray) -> float:
        one = Ours(settings, images, precision="bf16")
        one.steps()
        return statistics.median(one.steps())

    for batch_size in (16, 32, 64, 128, 256):
        settings = parameters(None, **length, batch_size=batch_size)
        found.setdefault("batch", {})[batch_size] = step(settings, images_like(settings, 2200))
    settings = parameters(None, **length)
    small = images_like(settings, 2200)
    for size in (16, 32, 64):
        resized = np.ascontiguousarray(np.resize(small, (2200, 1, size, size)))
        found.setdefault("image", {})[size] = step(settings, resized)
    with tempfile.TemporaryDirectory() as folder:
        for count in (2_000, 20_000, 200_000):
            np.save(Path(folder, "images.npy"), np.resize(small, (count, *small.shape[1:])))
            images = np.load(Path(folder, "images.npy"), mmap_mode="r")
            found.setdefault("data set", {})[count] = step(settings, images)
    return found


def part_data(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step; of reading and converting its images; and of drawing noise as well."""
    settings = parameters(None, num_steps=20, checkpoint_every=100, log_every=100)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "images.npy"), images_like(settings, 30_000))
        images = np.load(Path(folder, "images.npy"), mmap_mode="r")
        one = Ours(settings, images, precision="bf16")
        one.steps()
        step = statistics.median(one.steps())
        draws = in_process.prepare(one.job, one.sets).draws

        def read(number: int) -> list[np.ndarray]:
            return select_rows(one.sets.images, draws.batches.for_step(number))

        def convert(number: int) -> None:
            for part in read(number):
                to_unit(torch.from_numpy(np.ascontiguousarray(part)))

        timed = {}
        for name, run in (
            ("read and convert", convert),
            ("and draw noise and timesteps", draws.for_step),
        ):
            seconds = []
            for number in range(200):
                begun = time.perf_counter()
                run(number)
                seconds.append(time.perf_counter() - begun)
            timed[name] = statistics.median(seconds)
    return {"step": step, **timed}


def part_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of evaluating 12,247 images of 256 x 256 pixels, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of-evaluation", str(options.memory_images)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


class Peak:
    """The most memory that this process allocates in a block, without cached pages of files."""

    def __enter__(self) -> "Peak":
        self.most, self.running = 0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.running = False
        self.thread.join()

    def _watch(self) -> None:
        while self.running:
            lines = Path("/proc/self/status").read_text().splitlines()
            anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.most = max(self.most, 1024 * anonymous)
            time.sleep(0.02)


def memory_of_evaluation(num_through_network: int) -> None:
    """Evaluate made-up images as the nodes do.

    The judge's network sees some of them, the distances all features.
    """
    from pu_diffusion_pipeline.metrics.fidelity import build_extractor, distances, extract_features
    from pu_diffusion_pipeline.metrics.judge import Judge, predicted_classes

    count, batch_size = 12_247, parameters("celeba_male").evaluation.batch_size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.npy")
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, 256, 256))
        rng = np.random.default_rng(0)
        for start in range(0, count, 500):
            images[start : start + 500] = rng.integers(
                0, 256, images[start : start + 500].shape, dtype=np.uint8
            )
        del images
        images = np.load(path, mmap_mode="r")
        judge = Judge(3, 224, 2, (0,), "resnet34").eval()
        begun = time.perf_counter()
        with Peak() as peak:
            shown = images[:num_through_network]
            predicted_classes(judge, shown, batch_size)
            features = extract_features(
                shown, build_extractor("judge", judge, None), batch_size, "cpu"
            )
            whole = features._replace(
                values=np.resize(features.values, (count, features.values.shape[1]))
            )
            whole = whole._replace(
                values=whole.values + rng.normal(0, 0.1, whole.values.shape).astype(np.float32)
            )
            distances(whole, whole, kid_subsets=100, kid_subset_size=1000, neighborhood=3)
        found = {
            "peak_bytes": peak.most,
            "images": count,
            "through_network": num_through_network,
            "batch_size": batch_size,
            "seconds": time.perf_counter() - begun,
        }
        print(json.dumps(found))


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "step": part_step,
    "profile": part_profile,
    "sampling": part_sampling,
    "scaling": part_scaling,
    "data": part_data,
    "memory": part_memory,
    "work": part_work,
}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    lines = (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    )
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
    return {"processor": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "torch": torch.__version__, "python": platform.python_version()}  # fmt: skip


def main() -> None:
    """Measure, and write the page and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=8, help="of a round; the first two are not counted"
    )
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument(
        "--full-ddpm",
        action="store_true",
        help="measure the distance of DDPMPipeline's samples too: its 1,000 steps take minutes",
    )
    parser.add_argument(
        "--memory-images", type=int, default=1_000, help="that go through the ResNet-34"
    )
    parser.add_argument("--memory-of-evaluation", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.profile:
        print(json.dumps(profile_of(options.model, options.steps)))
        return
    if options.variant:
        take_turns(options.model, options.variant, options.steps)
        return
    if options.memory_of_evaluation:
        memory_of_evaluation(options.memory_of_evaluation)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.parts.split(","):
        if name not in PARTS:
            parser.error(f"--parts: no part {name!r}; there are {', '.join(PARTS)}")
        results[name] = PARTS[name](options)
        results["machine"] = machine()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    _, mark, by_hand = PAGE.read_text().partition(BY_HAND)
    PAGE.write_text(page(results).rstrip() + "\n\n" + mark + by_hand)
    print(page(results))


if __name__ == "__main__":
    main()
