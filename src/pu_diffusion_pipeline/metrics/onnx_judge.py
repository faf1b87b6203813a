"""A judge of the user's own: a classifier as an ONNX file, run by onnxruntime.

It decides normal or sensitive in the place of the judge that a run trains. Distances stay on the
features of the trained one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from pu_diffusion_pipeline.digests import digest_of_file
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.non_sensitive_rate import wilson_interval
from pu_diffusion_pipeline.metrics.options import OnnxJudgeOptions

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FIELD = "judge.onnx"
LARGEST_BATCH = 64  # images of 224 x 224 as float32 take 0.6 MB each
HOW = "by a judge of your own, whose errors were not measured"


class OnnxJudge:
    """A classifier in an ONNX file with one input, images, and one output, classes.

    Args:
        options: which file, and what it takes and gives.

    Raises:
        InvalidInput: onnxruntime is not installed, or the file is missing or is no such model.
    """

    def __init__(self, options: OnnxJudgeOptions) -> None:
        path = Path(options.path)
        if not path.is_file():
            raise InvalidInput(f"{FIELD}.path: no file {path}")
        self._options = options
        self._session = _open(path)
        described = self._session.get_inputs()[0]
        self._input = described.name
        self._takes_one = described.shape[:1] == [1]
        self.record = {"onnx": path.name, "weights_digest": digest_of_file(path)}

    def probabilities(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        """P(sensitive) of each image.

        Args:
            images: (N, C, H, W) uint8; they are resized to `image_size`, grey ones repeated.
            batch_size: images at a time.

        Returns:
            (N,) float64.

        Raises:
            InvalidInput: the model does not take such images, or gives no such classes.
        """
        size = 1 if self._takes_one else min(batch_size, LARGEST_BATCH)
        parts = [self._of_batch(batch) for batch in _batches(images, size)]
        return np.concatenate(parts)

    def judged_sensitive(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        """(N,) bool: whether the probability is above the threshold. Arguments as above."""
        return self.probabilities(images, batch_size) > self._options.threshold

    def _of_batch(self, images: np.ndarray) -> np.ndarray:
        options = self._options
        pixels = np.stack([_sized(image, options.image_size) for image in images])
        if options.channel_order == "bgr":
            pixels = pixels[..., ::-1]
        values = (pixels - _colours(options.mean)) / _colours(options.std)
        if options.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        try:
            (output, *_) = self._session.run(None, {self._input: values})
            output = np.asarray(output, np.float64).reshape(len(images), -1)
        except Exception as error:  # onnxruntime's errors share no other class
            raise InvalidInput(
                f"{FIELD}: the model does not take images {values.shape} ({options.layout}), or "
                "gives no number for each class: "
                f"{str(error).splitlines()[0][:200]}"
            ) from error
        return self._sensitive(output)

    def _sensitive(self, output: np.ndarray) -> np.ndarray:
        """(N,) from (N, K), or from (N, 1): the probability itself."""
        if output.shape[1] == 1:
            probability = output[:, 0]
            if self._options.outputs == "logits":
                probability = 1 / (1 + np.exp(-probability))
        else:
            if max(self._options.sensitive) >= output.shape[1]:
                raise InvalidInput(
                    f"{FIELD}.sensitive: the model has {output.shape[1]} classes, counted from 0, "
                    f"got {max(self._options.sensitive)}"
                )
            if self._options.outputs == "logits":
                output = np.exp(output - output.max(axis=1, keepdims=True))
                output = output / output.sum(axis=1, keepdims=True)
            probability = output[:, list(self._options.sensitive)].sum(axis=1)
        if not (np.isfinite(probability).all() and (np.abs(probability - 0.5) <= 0.501).all()):
            raise InvalidInput(
                f"{FIELD}.outputs: expected probabilities between 0 and 1, got up to "
                f"{np.abs(probability).max():.3g}; are they logits?"
            )
        return np.clip(probability, 0, 1)


def _open(path: Path) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise InvalidInput(
            f"{FIELD} needs onnxruntime: pip install 'pu_diffusion_pipeline[judge-onnx]'"
        ) from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InvalidInput(
            f"{FIELD}.path: {path} is no ONNX model: {str(error).splitlines()[0][:200]}"
        ) from error


def _colours(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


def _batches(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]


def _sized(image: np.ndarray, size: int) -> np.ndarray:
    """(C, H, W) uint8 to (size, size, 3) uint8."""
    pixels = image.transpose(1, 2, 0).squeeze()
    picture = Image.fromarray(pixels).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def assess_onnx_judge(
    judge: OnnxJudge, test: np.ndarray, heldout: np.ndarray, batch_size: int
) -> dict[str, object]:
    """Its accuracy, in the form of `assess_judge`'s; it counts normal against sensitive.

    Args:
        judge: the user's own.
        test: N normal images, (N, C, H, W) uint8.
        heldout: M sensitive ones.
        batch_size: images at a time.
    """
    normal = ~judge.judged_sensitive(test, batch_size)
    sensitive = judge.judged_sensitive(heldout, batch_size)
    return {
        "accuracy": float((normal.sum() + sensitive.sum()) / (len(test) + len(heldout))),
        "normal_recall": float(normal.mean()),
        "sensitive_recall": float(sensitive.mean()),
        "num_normal": len(test),
        "num_sensitive": len(heldout),
        **judge.record,
    }


def rate_without_accuracy(judgements: pd.DataFrame, judge: OnnxJudge) -> dict[str, object]:
    """The rate that an own judge counts where no labels say how often it errs.

    Args:
        judgements: a row per sample, with `judged_sensitive`.
        judge: the user's own.
    """
    num_normal, total = int((~judgements["judged_sensitive"]).sum()), len(judgements)
    low, high = wilson_interval(num_normal, total)
    return {
        "value": num_normal / total,
        "low": low,
        "high": high,
        "how": HOW,
        "num_normal": num_normal,
        "num_samples": total,
        "judge": judge.record,
    }
