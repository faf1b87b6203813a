"""The recipes of CONTRIBUTING.md, followed on a copy of the project: their files, and they work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import REPO

SRC = "src/pu_diffusion_pipeline/"
LOADER = """
from pathlib import Path
from pu_diffusion_pipeline.config_loader import open_loader

def load(env="test", **params):
    return open_loader(Path("conf"), env, params)
"""


class Recipe(NamedTuple):
    """One kind of extension.

    Attributes:
        edits: file to (text that is there, text that takes its place); None: a new file.
        check: code that fails unless the extension works.
    """

    edits: dict[str, tuple[str | None, str]]
    check: str


RECIPES = {
    "method": Recipe(
        {
            f"{SRC}diffusion/methods.py": (
                '    "pu_clean": Method(',
                '    "mine": Method(LABELED, beta="beta"),\n    "pu_clean": Method(',
            ),
            f"{SRC}diffusion/objectives.py": (
                '        "supervised": ',
                '        "mine": lambda: PositiveUnlabeled(beta, "absolute"),\n'
                '        "supervised": ',
            ),
        },
        """
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.pipeline_registry import register_pipelines
names = {"train_mine", "train_mine.estimated", "sample_mine", "evaluate_mine"}
assert names <= set(register_pipelines())
model = load()["catalog"]["mine.model"]["filepath"]
assert model == "data/06_models/test/mine/beta_0.1-seed_0/model"
assert build_objective("mine", 0.1, "none").correction == "absolute"
""",
    ),
    "source": Recipe(
        {
            f"{SRC}images/sources.py": (
                '    "synthetic": _synthetic,\n',
                '    "synthetic": _synthetic,\n    "mine": _synthetic,\n',
            )
        },
        """
from pu_diffusion_pipeline.images.sources import open_source
data = load(data={"source": "mine"}).final_parameters().data
assert len(open_source(data.source, data.root, False).classes) == 400
""",
    ),
    "sampler": Recipe(
        {
            f"{SRC}diffusion/samplers.py": (
                '    "ddim": Sampler(_ddim),\n',
                '    "ddim": Sampler(_ddim),\n    "mine": Sampler(_ddim),\n',
            )
        },
        """
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.samplers import build_sampler
parameters = load(sampling={"sampler": "mine", "karras_sigmas": False}).final_parameters()
scheduler = build_noise_scheduler(**parameters.noise.model_dump())
assert type(build_sampler(scheduler, parameters.sampling.sampler)).__name__ == "DDIMScheduler"
""",
    ),
    "metric": Recipe(
        {
            f"{SRC}metrics/registry.py": (
                '    "recall": Metric(',
                '    "spread": Metric(\n'
                '        "spread", "spread of the features", "spread", ".1f", True,\n'
                "        measure=lambda evaluated: float(evaluated.features.std()),\n"
                '    ),\n    "recall": Metric(',
            )
        },
        """
import numpy as np
import pandas as pd
from pu_diffusion_pipeline.metrics.fidelity import Features
from pu_diffusion_pipeline.metrics.score import score
from pu_diffusion_pipeline.reports.tables import comparison_table, formatted
features = Features(np.arange(40.0).reshape(10, 4), "judge", "weights")
judgements = pd.DataFrame({"predicted_class": [0] * 10, "judged_sensitive": [False] * 10})
judge = {"normal_recall": 1.0, "sensitive_recall": 1.0, "weights_digest": "w", "accuracy": 1.0}
options = load(evaluation={"kid_subset_size": 5}).final_parameters().evaluation
measured = score(judgements, None, features, features, judge, options)
training = {"beta": None, "seed": 0, "num_steps": 1, "seconds": 1.0}
record = {"method": "pu", **measured, "training": training, "settings": {"seed": 0}}
table = comparison_table([record])
assert formatted(table)["spread"].tolist() == ["11.5"]
""",
    ),
    "estimator": Recipe(
        {
            f"{SRC}positive_unlabeled/estimators.py": (
                "ESTIMATORS: dict[str, Estimator] = {\n",
                "def half(scores: Scores) -> float:\n    return 0.5\n\n\n"
                'ESTIMATORS: dict[str, Estimator] = {\n    "half": Estimator(half, "mine"),\n',
            )
        },
        """
import numpy as np
from pu_diffusion_pipeline.positive_unlabeled.estimators import estimate_with_all
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.reports.tables import methods_table
rng = np.random.default_rng(0)
table = methods_table(estimate_with_all(Scores(rng.normal(2, 1, 300), rng.normal(0, 1, 300))))
assert table.set_index("method").loc["half", "estimate"] == 0.5
""",
    ),
    "parameter": Recipe(
        {
            f"{SRC}metrics/options.py": (
                "    neighborhood: Positive\n",
                "    neighborhood: Positive\n    power: Positive\n",
            ),
            "conf/base/parameters.yml": (
                "  neighborhood: 3 ",
                "  power: 2                  # mine\n  neighborhood: 3 ",
            ),
        },
        """
loader = load(evaluation={"power": 3})
assert loader["parameters"]["evaluation"].power == 3
assert "evaluation.power_3" in loader["catalog"]["pu.metrics"]["filepath"]
""",
    ),
    "benchmark": Recipe(
        {"conf/mine/parameters.yml": (None, "benchmark: mine\ndata: {normal_classes: [1]}\n")},
        """
assert load("mine").final_parameters().data.normal_classes == (1,)
assert load("mine")["catalog"]["pu.model"]["filepath"].startswith("data/06_models/mine/pu/")
""",
    ),
}
NUM_FILES = {"method": 2, "source": 1, "sampler": 1, "metric": 1, "estimator": 1, "parameter": 2,
             "benchmark": 1}  # fmt: skip


def follow(recipe: Recipe, project: Path) -> None:
    for name, (there, new) in recipe.edits.items():
        path = project / name
        if there is None:
            path.parent.mkdir()
            path.write_text(new)
            continue
        text = path.read_text()
        assert text.count(there) == 1, f"{name} no longer has {there!r} once"
        path.write_text(text.replace(there, new))


QUICK = ("metric", "parameter", "method")
KINDS = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in RECIPES]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_touches_as_many_files_as_contributing_says_and_works(kind, tmp_path):
    recipe = RECIPES[kind]
    assert len(recipe.edits) == NUM_FILES[kind]
    for name in ("src", "conf"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    follow(recipe, tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", LOADER + recipe.check],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_contributing_gives_the_same_numbers_of_files():
    text = (REPO / "CONTRIBUTING.md").read_text().lower()
    for kind, number in NUM_FILES.items():
        line = next(line for line in text.splitlines() if line.startswith("- **a") and kind in line)
        assert f"({number} file" in line, kind
