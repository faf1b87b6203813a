"""What the nodes of a run need of the parameters, checked before the first one runs."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.options import FOLDER

Requirement = Callable[[Parameters], str | None]  # what is wrong, or None


def _pretraining(parameters: Parameters) -> str | None:
    if parameters.pretraining is not None:
        return None
    return (
        f"pretraining is null in benchmark {parameters.benchmark}; "
        "conf/finetune/parameters.yml has an example"
    )


def _pretrained(parameters: Parameters) -> str | None:
    if parameters.pretrained is not None:
        return None
    return (
        "pretrained is null: this benchmark starts from random weights, there is nothing to sample"
    )


def _given_beta(parameters: Parameters) -> str | None:
    if not isinstance(parameters.beta, str):
        return None
    return (
        f"beta is {parameters.beta}, but these pipelines take a number: add .estimated to their "
        "names, or run them through `kedro run`, which does"
    )


def _nobody_watches(parameters: Parameters) -> str | None:
    if parameters.watch.every is None:
        return None
    return (
        "watch.every is set, but these pipelines do not watch: add .watched to their names, or "
        "run them through `kedro run`, which does"
    )


def _extras(parameters: Parameters) -> str | None:
    if parameters.tracking.tensorboard and find_spec("tensorboard") is None:
        return (
            "tracking.tensorboard needs TensorBoard: "
            "pip install 'pu_diffusion_pipeline[tensorboard]'"
        )
    if parameters.training.engine == "ray" and find_spec("ray") is None:
        return "training.engine ray needs Ray: pip install 'pu_diffusion_pipeline[ray]'"
    return None


def _unconditional(parameters: Parameters) -> str | None:
    if parameters.data.num_conditions is None:
        return None
    return "the relearning check: expected data.num_conditions null, it needs unconditional models"


def _unconditional_samples(parameters: Parameters) -> str | None:
    if parameters.data.num_conditions is None:
        return None
    return "guided and filtered samples: expected data.num_conditions null, they are unconditional"


def _nobody_relearns(parameters: Parameters) -> str | None:
    if not parameters.relearning.in_report:
        return None
    return (
        "relearning.in_report is set, but these pipelines leave the check out: add .relearned to "
        "their names, or run them through `kedro run`, which does"
    )


def _labeled_normal(parameters: Parameters) -> str | None:
    counts = parameters.data.counts
    if counts is None or counts.labeled_normal:  # of a folder: the training refuses
        return None
    needing = [name for name, method in METHODS.items() if "labeled_normal" in method.sets]
    return f"data.counts.labeled_normal is 0; method {needing[0]} needs labeled normal images"


def _labels(parameters: Parameters) -> str | None:
    if parameters.data.has_truth:
        return None
    return "the second judge learns from labels: give labels.csv and data.folder.labels: true"


def _folder(parameters: Parameters) -> str | None:
    if parameters.data.source == FOLDER:
        return None
    return f"data_report: expected data.source folder, got {parameters.data.source}"


def _own_judge(parameters: Parameters) -> str | None:
    onnx = parameters.judge.onnx
    if onnx is None or Path(onnx.path).is_file():
        return None
    return f"judge.onnx.path: no file {onnx.path}"


def _another_judge(parameters: Parameters) -> str | None:
    if parameters.data.has_truth or parameters.judge.onnx is not None:
        return None
    return (
        "without labels the classifier that this method trains or samples with would judge it; "
        "give labels.csv and data.folder.labels: true, or judge.onnx"
    )


REQUIREMENTS: dict[str, Requirement] = {
    "pretrain_denoiser": _pretraining,
    "pretrained.sampling.sample_model": _pretrained,
    "use_given_beta": _given_beta,
    "training.train_denoiser": _nobody_watches,
    "training": _extras,
    "relearn": _unconditional,
    "train_second_judge": _labels,
    "sample_guided": _unconditional_samples,
    "sample_filtered": _unconditional_samples,
    "render_report": _nobody_relearns,
    "render_data_report": _folder,
    "judge_samples": _own_judge,
    "judge_relearning": _own_judge,
    "assess_judge": _own_judge,
    **{
        f"{name}.training": _labeled_normal
        for name, method in METHODS.items()
        if "labeled_normal" in method.sets
    },
    **{
        f"{name}.evaluation": _another_judge
        for name, method in METHODS.items()
        if "sensitivity" in method.sections
    },
}


def refuse_missing_device(options: ComputeOptions) -> None:
    """Refuse a device or a precision that this machine does not have.

    Raises:
        InvalidInput: naming it.
    """
    if options.device in ("auto", "cpu") and options.precision != "fp16":
        return  # nothing to find out, and importing torch takes seconds
    from pu_diffusion_pipeline.diffusion.compute import resolve_compute

    try:
        resolve_compute(options)
    except InvalidInput as error:  # which names the argument
        raise InvalidInput(f"compute.{error}") from error


def refuse_unmet(nodes: Iterable[str], parameters: Parameters) -> None:
    """Refuse a run whose nodes cannot work with these parameters.

    Args:
        nodes: names of the nodes, with their namespaces.
        parameters: of the run.

    Raises:
        InvalidInput: the first requirement that is not met.
    """
    names = [f".{node}." for node in nodes]
    for key, requirement in REQUIREMENTS.items():
        if any(f".{key}." in name for name in names) and (message := requirement(parameters)):
            raise InvalidInput(message)
