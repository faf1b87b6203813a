"""Folders of a classifier that somebody has damaged or made to harm."""

import json
import os
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.calibration import Calibration
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores

WEIGHTS, CONFIG, MANIFEST = "model.safetensors", "config.json", "manifest.json"
VECTORS = "repeat_0.fold_1.support_vectors"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A sound folder of a made-up machine with two folds."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    features = {"components": (3, 64), "mean": (64,), "variance": (3,)}
    machine = {"support_vectors": (5, 3), "weight": (5,), "bias": (1,), "gamma": (1,)}
    SensitivityClassifier(
        model="svm",
        image_shape=(1, 8, 8),
        beta=0.1,
        encoder=None,
        feature_arrays={name: rng.random(shape) for name, shape in features.items()},
        models=[[{name: rng.random(shape) for name, shape in machine.items()} for _ in range(2)]],
        repeated_scores=Scores(rng.random((1, 20)), rng.random((1, 30))),
        calibration=Calibration(np.array([0.0, 1.0, 2.0]), np.array([-3.0, 0.0, 0.0])),
    ).save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def arrays(change):
    """Changed arrays in a sound file."""

    def spoil(folder):
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS)

    return spoil


def fields(**values):
    """Other values in `config.json`."""

    def spoil(folder):
        plain = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**plain, **values}))

    return spoil


def content(file: str, raw: bytes):
    return lambda folder: (folder / file).write_bytes(raw)


def text(file: str, old: str, new: str):
    def spoil(folder):
        plain = (folder / file).read_text()
        assert old in plain
        (folder / file).write_text(plain.replace(old, new))

    return spoil


def hole(file: str):
    """A file that is large and takes no room on the disk."""
    return lambda folder: os.truncate(folder / file, 10**10)


def header(text: str, length: int | None = None) -> bytes:
    """A safetensors file with a header of one's own; `length` is what it claims of it."""
    raw = text.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(16)


class Harmful:
    """Runs a shell command where it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch canary",))


T = np.zeros
SPOILT = {
    "no config": (lambda folder: (folder / CONFIG).unlink(), "config.json .*it is missing"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "manifest.json .*missing"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "safetensors .*it is missing"),
    "a list": (content(CONFIG, b"[]"), "config.json .*object"),
    "a list as manifest": (content(MANIFEST, b"[]"), "manifest.json .*expected an object"),
    "cut manifest": (content(MANIFEST, b'{"a": '), "manifest.json .*Expecting value"),
    "deep JSON": (content(CONFIG, b"[" * 500_000), "config.json"),
    "deep manifest": (content(MANIFEST, b"[" * 500_000), "manifest.json"),
    "large JSON": (hole(CONFIG), "config.json .*at most 1000000 bytes"),
    "unknown model": (fields(model="forest"), "config.json .*model: "),
    "model of code": (fields(model="svm\nimport os"), "config.json .*model: "),
    "beta 1": (fields(beta=1.0), "config.json .*beta: .*less than 1"),
    "beta NaN": (text(CONFIG, "0.1", "NaN"), "config.json .*beta: .*finite"),
    "text for a number": (fields(num_folds="2"), "config.json .*num_folds: "),
    "true for a number": (fields(num_folds=True), "config.json .*num_folds: "),
    "1e12 folds": (fields(num_folds=10**12), "config.json .*num_folds: "),
    "1e12 pixels": (fields(image_size=10**12), "config.json .*image_size: "),
    "four channels": (fields(channels=4), "config.json .*channels: "),
    "a field more": (fields(evil=1), "config.json .*evil: "),
    "an encoder of no digest": (fields(encoder={"path": "a"}), "encoder.digest: "),
    "another model": (fields(model="logistic"), "repeat_0.fold_0.gamma is not expected"),
    "another size": (fields(image_size=16), r"features.components has the shape \(3, 64\)"),
    "a fold more": (fields(num_folds=3), "repeat_0.fold_2.bias is missing"),
    "an array is missing": (arrays(lambda state: state.pop(VECTORS)), f"{VECTORS} is missing"),
    "an array too many": (
        arrays(lambda state: state.update(evil=T(1))),
        "evil is not expected",
    ),
    "an array of another shape": (
        arrays(lambda state: state.update({VECTORS: T((5, 4))})),
        rf"{VECTORS} has the shape \(5, 4\); expected \(5, 3\)",
    ),
    "an array of another rank": (
        arrays(lambda state: state.update({VECTORS: T(5)})),
        rf"{VECTORS} has the shape \(5,\)",
    ),
    "an empty array": (
        arrays(lambda state: state.update({"scores.labeled_sensitive": T((1, 0))})),
        r"scores.labeled_sensitive has the shape \(1, 0\)",
    ),
    "integers": (
        arrays(lambda state: state.update({VECTORS: T((5, 3), dtype=np.int64)})),
        f"{VECTORS}: expected finite numbers",
    ),
    "infinite": (
        arrays(lambda state: state[VECTORS].fill(np.inf)),
        f"{VECTORS}: expected finite numbers",
    ),
    "knots that fall": (
        arrays(lambda state: state.update({"calibration.knots": np.array([0.0, 2.0, 1.0])})),
        "calibration: expected values that increase",
    ),
    "odds that fall": (
        arrays(lambda state: state.update({"calibration.log_odds": np.array([1.0, 0.0, 2.0])})),
        "calibration: expected values that increase",
    ),
    "a kernel that grows": (
        arrays(lambda state: state["repeat_0.fold_1.gamma"].fill(-1)),
        "fold_1.gamma: expected a positive number",
    ),
    "a pickle": (content(WEIGHTS, pickle.dumps(Harmful())), "safetensors "),
    "cut": (lambda folder: os.truncate(folder / WEIGHTS, 1000), "safetensors "),
    "large weights": (hole(WEIGHTS), "safetensors "),
    "header of 2^60 bytes": (content(WEIGHTS, header("{}", 2**60)), "safetensors "),
    "shape of 2^62": (
        content(
            WEIGHTS,
            header(
                '{"features.mean": {"dtype": "F32", "shape": [4611686018427387904, 4],'
                ' "data_offsets": [0, 16]}}'
            ),
        ),
        "safetensors ",
    ),
}


def test_a_sound_folder_is_read(folder):
    images = np.zeros((2, 1, 8, 8), dtype=np.uint8)
    assert SensitivityClassifier.from_pretrained(folder).probabilities(images).shape == (2,)


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_damaged_or_hostile_folder_is_refused_and_nothing_in_it_is_run(folder, spoil, words):
    spoil(folder)
    with pytest.raises(InvalidInput, match=f"(?s){words}") as refusal:
        SensitivityClassifier.from_pretrained(folder)
    assert len(str(refusal.value)) < 600
    assert not (folder.parent / "canary").exists()


def test_weights_that_overflow_are_refused_when_they_are_used(folder):
    arrays(lambda state: state["repeat_0.fold_1.weight"].fill(1e308))(folder)
    arrays(lambda state: state["repeat_0.fold_1.gamma"].fill(1e-9))(folder)
    classifier = SensitivityClassifier.from_pretrained(folder)
    with pytest.raises(InvalidInput, match="gives scores that are not finite"):
        classifier.probabilities(np.full((2, 1, 8, 8), 200, dtype=np.uint8))
