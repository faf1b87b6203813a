"""docs/benchmarks.md from the numbers of `engine.py`."""

from typing import Any


def page(results: dict[str, Any]) -> str:
    """The page; parts that were not measured are left out."""
    where = results["machine"]
    parts = [
        "# Speed and memory",
        f"`make bench` on {where['processor']}, {where['cores']} cores, torch {where['torch']}. It measures this "
        "package and the training loop of the diffusers tutorial (`benchmarks/plain.py`) in turns in one run; ratios "
        "are medians over the rounds, with the smallest and the largest. Numbers: `docs/results/benchmarks.json`.",
    ]
    for name, render in RENDER.items():
        if name in results:
            parts += render(results[name])
    return "\n\n".join(parts) + "\n"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows])


def _step(found: dict[str, Any]) -> list[str]:
    parts = ["## Training step"]
    for name, model in found.items():
        rate = model["matmul"]
        parts.append(
            f"{name}, batch {model['batch_size']}, {model['gflop']:.0f} GFLOP a step. Product of two matrices of "
            f"2048 x 2048 in the same rounds: {rate['fp32']:.0f} GFLOP/s in fp32, {rate['bf16']:.0f} in bf16."
        )
        rows = [
            [
                kind,
                f"{row['seconds']:.3f}",
                f"{row['images_per_second']:.1f}",
                f"{row['ratio']:.2f} ({row['ratio_low']:.2f} – {row['ratio_high']:.2f})",
                f"{row['gflops']:.0f}",
                f"{100 * row['share_of_bf16_matmul']:.0f} %",
                f"{row['peak_bytes'] / 1e9:.2f}",
            ]
            for kind, row in model["rows"].items()
        ]
        columns = [
            "training",
            "s a step",
            "images/s",
            "times the plain loop",
            "GFLOP/s",
            "of the bf16 product",
            "peak GB",
        ]
        parts.append(_table(columns, rows))
    return parts


def _profile(found: dict[str, Any]) -> list[str]:
    kinds = list(next(iter(found.values())))
    rows = [[kind, *(f"{model[kind]:.1f}" for model in found.values())] for kind in kinds]
    return [
        "## Where the untuned bf16 step goes",
        "Milliseconds of self time a step by `torch.profiler`.",
        _table(["operation", *found], rows),
    ]


def _work(found: dict[str, Any]) -> list[str]:
    rows = [
        [
            env,
            f"{row['million_parameters']:.1f} M",
            str(row["batch_size"]),
            f"{row['tflop_a_step']:.1f}",
            f"{row['steps']:,}",
            f"{row['pflop_training']:.0f}",
            f"{row['pflop_sampling']:.0f}",
        ]
        for env, row in found.items()
    ]
    columns = ["row", "parameters", "batch", "TFLOP a step", "steps", "PFLOP, training", "PFLOP, sampling"]
    return ["## Work of the paper's rows", "Counted by `torch.utils.flop_counter`, not timed.", _table(columns, rows)]


def _sampling(found: dict[str, Any]) -> list[str]:
    theirs = found["plain_frechet_distance"]
    return [
        "## Sampling",
        f"500 images of a trained model ({found['model']}): {found['ours']} {found['seconds']:.1f} s; "
        "`DDPMPipeline`, 1,000 "
        f"steps, fp32 {found['plain_seconds']:.0f} s (extrapolated from {found['plain_steps_timed']} of its steps): "
        f"{found['ratio']:.0f} times. Frechet distance (judge's features) {found['frechet_distance']:.1f}"
        + ("." if theirs is None else f", of the pipeline's samples after all 1,000 steps {theirs:.1f}.")
        + " Other samplers: [results/samplers.md](results/samplers.md).",
    ]


def _scaling(found: dict[str, Any]) -> list[str]:
    parts = [
        "## Scaling",
        "Small U-Net, bf16; milliseconds a step (batch 64, 32 x 32 pixels, 2,200 images where nothing else is said).",
    ]
    for name, values in found.items():
        columns = [f"{name} size", *(f"{int(size):,}" for size in values)]
        parts.append(_table(columns, [["ms", *(f"{1000 * value:.0f}" for value in values.values())]]))
    return parts


def _data(found: dict[str, Any]) -> list[str]:
    share = {name: 100 * value / found["step"] for name, value in found.items()}
    return [
        "## Data path",
        "Finding a batch of 64 in memory-mapped uint8 and converting it takes "
        f"{share['read and convert']:.2f} % of a step; with drawing its noise and timesteps "
        f"{share['and draw noise and timesteps']:.2f} %.",
    ]


def _memory(found: dict[str, Any]) -> list[str]:
    return [
        "## Memory of evaluation",
        f"{found['images']:,} images of 256 x 256: peak {found['peak_bytes'] / 1e9:.2f} GB of allocated memory (cached "
        f"pages of the memory-mapped file not counted), {found['batch_size']} images at a time through the ResNet-34 "
        f"judge; {found['through_network']:,} of them went through the network, the distances are over all.",
    ]


RENDER = {
    "step": _step,
    "profile": _profile,
    "sampling": _sampling,
    "scaling": _scaling,
    "data": _data,
    "memory": _memory,
    "work": _work,
}
