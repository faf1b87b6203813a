"""The folder of a `SensitivityClassifier`: safetensors and JSON, which may come from anybody."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.calibration import Calibration
from pu_diffusion_pipeline.positive_unlabeled.classifier import Encoder, SensitivityClassifier
from pu_diffusion_pipeline.positive_unlabeled.features import ENCODED_LENGTH, small_side
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS
from pu_diffusion_pipeline.positive_unlabeled.score_networks import flat_length

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
MANIFEST = "manifest.json"
MOST_BYTES = 1_000_000  # of a JSON file
Shape = tuple[int | str, ...]
Side = Annotated[int, Field(ge=1, le=8192)]
Number = Annotated[int, Field(ge=1, le=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class EncoderDescription(_Strict):
    """The fields of an `Encoder`."""

    path: str
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Description(_Strict):
    """`config.json`: what the arrays in `model.safetensors` are those of."""

    model: Annotated[str, Field(pattern=f"^({'|'.join(SCORE_MODELS)})$")]
    channels: Annotated[int, Field(ge=1, le=3)]
    image_size: Side
    beta: Annotated[float, Field(gt=0, lt=1)]
    num_repeats: Number
    num_folds: Number
    encoder: EncoderDescription | None

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Name and shape of every array; a letter stands for a length that is the same for all."""
        yield from {"calibration.knots": ("k",), "calibration.log_odds": ("k",)}.items()
        yield "scores.labeled_sensitive", (self.num_repeats, "M")
        yield "scores.unlabeled", (self.num_repeats, "N")
        kind = SCORE_MODELS[self.model]
        if not kind.reads_images:
            length = self.channels * small_side(self.image_size) ** 2
            length = length if self.encoder is None else ENCODED_LENGTH
            yield "features.components", ("d", length)
            yield "features.mean", (length,)
            yield "features.variance", ("d",)
        known = {"c": self.channels, "flat": flat_length(small_side(self.image_size))}
        for prefix in self.prefixes():
            for name, shape in kind.shapes.items():
                own = [f"{prefix}.n" if part == "n" else part for part in shape]
                yield f"{prefix}.{name}", tuple(known.get(str(part), part) for part in own)

    def prefixes(self) -> list[str]:
        """Of the names of each model's arrays: all folds of the first repeat, then of the next."""
        repeats, folds = range(self.num_repeats), range(self.num_folds)
        return [f"repeat_{repeat}.fold_{fold}" for repeat in repeats for fold in folds]


def save(classifier: SensitivityClassifier, folder: Path) -> None:
    """See `SensitivityClassifier.save_pretrained`."""
    from safetensors.numpy import save_file

    channels, size, _width = classifier.image_shape
    encoder = classifier.encoder
    description = Description(
        model=classifier.model,
        channels=channels,
        image_size=size,
        beta=classifier.beta,
        num_repeats=len(classifier.models),
        num_folds=len(classifier.models[0]),
        encoder=None if encoder is None else EncoderDescription(**encoder._asdict()),
    )
    arrays = _prefixed("calibration", classifier.calibration._asdict())
    arrays |= _prefixed("scores", classifier.repeated_scores._asdict())
    arrays |= _prefixed("features", classifier.feature_arrays)
    models = [model for repeat in classifier.models for model in repeat]
    for prefix, model in zip(description.prefixes(), models, strict=True):
        arrays |= _prefixed(prefix, model)
    folder.mkdir(parents=True)
    save_file(arrays, folder / WEIGHTS)
    (folder / CONFIG).write_text(description.model_dump_json(indent=1))
    (folder / MANIFEST).write_text(json.dumps(classifier.manifest, indent=1))


def load(folder: Path) -> SensitivityClassifier:
    """See `SensitivityClassifier.from_pretrained`."""
    description = _read_description(folder / CONFIG)
    manifest = _read_manifest(folder / MANIFEST)
    arrays = _read_arrays(folder / WEIGHTS, dict(description.shapes()))
    calibration = Calibration(**_below("calibration", arrays))
    if (np.diff(calibration.knots) <= 0).any() or (np.diff(calibration.log_odds) < 0).any():
        raise _refusal(folder / WEIGHTS, "calibration: expected values that increase")
    models = [_below(prefix, arrays) for prefix in description.prefixes()]
    count, size = description.num_folds, description.image_size
    encoder = description.encoder
    return SensitivityClassifier(
        model=description.model,
        image_shape=(description.channels, size, size),
        beta=description.beta,
        encoder=None if encoder is None else Encoder(encoder.path, encoder.digest),
        feature_arrays=_below("features", arrays),
        models=[models[start : start + count] for start in range(0, len(models), count)],
        repeated_scores=Scores(**_below("scores", arrays)),
        calibration=calibration,
        manifest=manifest,
    )


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = f"{prefix}."
    found = (name for name in arrays if name.startswith(start))
    return {name.removeprefix(start): arrays[name] for name in found}


def _read_description(path: Path) -> Description:
    try:
        return Description.model_validate_json(_limited(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    raise _refusal(path, f"{place}: {first['msg']}")


def _read_manifest(path: Path) -> dict[str, object]:
    try:
        manifest = json.loads(_limited(path))
    except (ValueError, RecursionError) as error:
        raise _refusal(path, str(error)) from error
    if not isinstance(manifest, dict):
        raise _refusal(path, "expected an object")
    return manifest


def _limited(path: Path) -> bytes:
    """The content of a file that is not too large; nothing is read of pipes and devices."""
    if not path.is_file():
        raise _refusal(path, "it is missing")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _refusal(path, f"expected at most {MOST_BYTES} bytes")
    return content


def _read_arrays(path: Path, shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    """The arrays, which must have exactly these names and shapes, and be finite.

    Names and shapes come first, from the header; only then is memory taken.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise _refusal(path, "it is missing")
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            _check_shapes(
                path, {name: tuple(part.get_shape()) for name, part in slices.items()}, shapes
            )
            arrays = {name: file.get_tensor(name) for name in shapes}
    except InvalidInput:
        raise
    except Exception as error:  # safetensors and numpy each have their own
        raise _refusal(path, str(error).strip().split("\n")[0][:200]) from error
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64) or not np.isfinite(array).all():
            raise _refusal(path, f"{name}: expected finite numbers, float32 or float64")
        if name.endswith(".gamma") and array[0] <= 0:  # of a Gaussian kernel
            raise _refusal(path, f"{name}: expected a positive number")
    return arrays


def _check_shapes(
    path: Path, given: Mapping[str, tuple[int, ...]], expected: Mapping[str, Shape]
) -> None:
    """Refuse names and shapes that are not the expected ones; the message names the first one."""
    if wrong := sorted(given.keys() ^ expected.keys()):
        problem = "is missing" if wrong[0] in expected else "is not expected"
        raise _refusal(path, f"{wrong[0]} {problem}")
    lengths: dict[int | str, int] = {}  # of a letter: that of the first array which has it
    for name, shape in expected.items():
        got = given[name]
        if len(got) == len(shape):
            lengths = {**dict(zip(shape, got, strict=True)), **lengths}
        right = tuple(part if isinstance(part, int) else lengths.get(part) for part in shape)
        if got != right or 0 in got:
            raise _refusal(path, f"{name} has the shape {got}; expected {right}")


def _refusal(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{path} is none of a sound sensitivity classifier: {reason}. Delete the folder and fit "
        "the classifier anew."
    )
