"""Every row of the paper's tables from raw file to report, on small files of the true formats."""

import json

import numpy as np
import pytest
from diffusers import DDPMPipeline, DDPMScheduler

from pu_diffusion_pipeline.reports.summary import paper_results
from raw_files import tiny_unet, write_celeba, write_cifar10, write_mnist, write_stl10

ROWS = [*dict.fromkeys(paper_results()["row"]), "celeba_male", "celeba_female"]
COUNTS = {
    "unlabeled_normal": 20,
    "unlabeled_sensitive": 2,
    "labeled_sensitive": 6,
    "test": 8,
    "heldout_sensitive": 8,
    "judge": 40,
}
SHORT = {
    "data": {"counts": COUNTS, "download": False},
    "class_prior": {"repeats": 1, "num_components": 4, "num_epochs": 1},
    "training": {
        "batch_size": 6,
        "num_epochs": None,
        "num_steps": 2,
        "log_every": 1,
        "checkpoint_every": 2,
    },
    "sampling": {"num_images": 8, "num_steps": 2, "batch_size": 4},
    "evaluation": {"kid_subsets": 2, "kid_subset_size": 4},
}
SMALL = {"block_out_channels": [32, 32, 32, 32], "attention_levels": [], "middle_attention": False}


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder with all four data sets."""
    root = tmp_path / "raw"
    root.mkdir()
    rng = np.random.default_rng(0)
    write_mnist(root, lambda part, count: rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
    write_cifar10(root, monkeypatch, [38, 39, 40, 41, 42, 60])
    write_stl10(
        root, monkeypatch, [1 + n % 10 for n in range(120)], [1 + n % 10 for n in range(40)]
    )
    write_celeba(root, monkeypatch, [0] * 80 + [2] * 40, [1 if n % 2 else -1 for n in range(120)])
    return root


def tiny_hub_model(folder, size: int) -> str:
    DDPMPipeline(
        unet=tiny_unet(3, size), scheduler=DDPMScheduler(num_train_timesteps=1000)
    ).save_pretrained(folder / "hub")
    return str(folder / "hub")


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_row_runs_from_raw_file_to_report(row, raw, imagenet, tmp_path, run):
    overrides = {name: dict(value) for name, value in SHORT.items()}
    overrides["data"]["root"] = str(raw)
    if not row.startswith("mnist"):
        overrides["judge"] = {
            "weights": imagenet,
            "image_size": 32,
            "num_epochs": 1,
            "batch_size": 20,
        }
    if row.endswith("_finetune"):
        overrides["pretrained"] = tiny_hub_model(tmp_path, 256 if row.startswith("celeba") else 32)
    elif row.startswith("celeba"):
        overrides["denoiser"] = {**SMALL, "block_out_channels": [32] * 6}
    else:
        overrides["denoiser"] = SMALL
    run(tmp_path, "finetune" if row.endswith("_finetune") else "__default__", env=row, **overrides)
    metrics = sorted(tmp_path.glob(f"data/07_model_output/{row}/*/*/metrics.json"))
    methods = {"unsupervised", "supervised", "pu"} | (
        {"pretrained"} if row.endswith("_finetune") else set()
    )
    assert {json.loads(path.read_text())["method"] for path in metrics} == methods
    (report,) = tmp_path.glob(f"data/08_reporting/{row}/*/report.html")
    assert row in report.read_text()
