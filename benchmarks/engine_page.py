"""docs/benchmarks.md from the numbers of `engine.py`."""

import textwrap
from typing import Any

WIDTH = 100  # columns of a line of text


def page(results: dict[str, Any]) -> str:
    """The page; parts that were not measured are left out."""
    where = results["machine"]
    parts = [
        "# Speed and memory",
        f"`make bench` on {where['processor']}, {where['cores']} cores, torch {where['torch']}. It "
        "measures this package and the training loop of the diffusers tutorial "
        "(`benchmarks/plain.py`) in turns in one run. Ratios are medians over the rounds, with the "
        "smallest and the largest in brackets. All numbers: `docs/results/benchmarks.json`.",
    ]
    for name, render in RENDER.items():
        if name in results:
            parts += render(results[name])
    return "\n\n".join(_wrap(part) for part in parts) + "\n"


def _wrap(part: str) -> str:
    """Break the lines of a paragraph; headings and tables stay."""
    if part.startswith(("#", "|")):
        return part
    return textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows]
    )


def _step(found: dict[str, Any]) -> list[str]:
    parts = ["## Training step"]
    for name, model in found.items():
        rate = model["matmul"]
        parts.append(
            f"{name[0].upper()}{name[1:]}, batch {model['batch_size']}, {model['gflop']:.0f} GFLOP "
            "a step. The product of two matrices of 2048 x 2048 in the same rounds: "
            f"{rate['fp32']:.0f} GFLOP/s in fp32, {rate['bf16']:.0f} GFLOP/s in bf16."
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
        "Milliseconds of self time a step, by `torch.profiler`. Untuned: without the "
        "[tuning](decisions/0005-where-a-step-goes.md).",
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
    columns = [
        "row",
        "parameters",
        "batch",
        "TFLOP a step",
        "steps",
        "PFLOP, training",
        "PFLOP, sampling",
    ]
    return [
        "## Work of the paper's rows",
        "Counted by `torch.utils.flop_counter`, not timed.",
        _table(columns, rows),
    ]


def _sampling(found: dict[str, Any]) -> list[str]:
    theirs = found["plain_frechet_distance"]
    return [
        "## Sampling",
        f"500 images of a trained model ({found['model']}). FD is the Frechet distance on the "
        "judge's features. Other samplers: [results/samplers.md](results/samplers.md).",
        _table(
            ["sampling", "s", "FD", "times faster"],
            [
                *(
                    [
                        row["name"],
                        f"{row['seconds']:.1f}",
                        f"{row['frechet_distance']:.1f}",
                        f"{row['ratio']:.0f}",
                    ]
                    for row in found["ours"]
                ),
                [
                    "`DDPMPipeline`, 1,000 steps, fp32",
                    f"{found['plain_seconds']:.0f}",
                    "–" if theirs is None else f"{theirs:.1f}",
                    "1",
                ],
            ],
        ),
        "The seconds of `DDPMPipeline` are "
        f"extrapolated from {found['plain_steps_timed']} of its steps"
        + ("." if theirs is None else "; its FD is that of samples after all 1,000 steps."),
    ]


def _scaling(found: dict[str, Any]) -> list[str]:
    parts = [
        "## Scaling",
        "Small U-Net, bf16, milliseconds a step. Where the table does not say otherwise: batch 64, "
        "32 x 32 pixels, 2,200 images.",
    ]
    for name, values in found.items():
        columns = [f"{name} size", *(f"{int(size):,}" for size in values)]
        parts.append(
            _table(columns, [["ms", *(f"{1000 * value:.0f}" for value in values.values())]])
        )
    return parts


def _data(found: dict[str, Any]) -> list[str]:
    share = {name: 100 * value / found["step"] for name, value in found.items()}
    return [
        "## Data path",
        "Reading a batch of 64 from memory-mapped uint8 data and converting it takes "
        f"{share['read and convert']:.2f} % of a step. With the drawing of its noise and "
        f"timesteps it is {share['and draw noise and timesteps']:.2f} %.",
    ]


def _memory(found: dict[str, Any]) -> list[str]:
    return [
        "## Memory of evaluation",
        f"{found['images']:,} images of 256 x 256, {found['batch_size']} at a time through the "
        f"ResNet-34 judge: at most {found['peak_bytes'] / 1e9:.2f} GB of allocated memory, not "
        "counting cached pages of the memory-mapped file. Only "
        f"{found['through_network']:,} of the images went through the network; the distances "
        "are over all.",
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
