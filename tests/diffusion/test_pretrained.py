"""Models to start from: as diffusers writes them, as the first hub models are, and unfit ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from pu_diffusion_pipeline.diffusion.options import NoiseOptions
from pu_diffusion_pipeline.diffusion.pretrained import find_folder, load_pretrained
from pu_diffusion_pipeline.errors import InvalidInput
from raw_files import tiny_unet

NOISE = NoiseOptions(num_train_timesteps=50, schedule="linear", prediction_type="epsilon")


def denoiser() -> UNet2DModel:
    return tiny_unet(3, 16)


@pytest.fixture
def folder(tmp_path) -> Path:
    """As diffusers writes it now: safetensors in unet/."""
    scheduler = DDPMScheduler(num_train_timesteps=50)
    DDPMPipeline(unet=denoiser(), scheduler=scheduler).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def flat_folder(folder: Path, pickled: bool) -> Path:
    """As the first hub models have it: everything in one folder, weights perhaps as a pickle."""
    flat = folder.parent / "flat"
    flat.mkdir()
    for path in (
        folder / "model_index.json",
        folder / "unet/config.json",
        folder / "scheduler/scheduler_config.json",
    ):
        shutil.copy(path, flat)
    if pickled:
        torch.save(denoiser().state_dict(), flat / "diffusion_pytorch_model.bin")
    else:
        shutil.copy(folder / "unet/diffusion_pytorch_model.safetensors", flat)
    return flat


def load(name, image_size: int = 16, channels: int = 3, noise: NoiseOptions = NOISE, **options):
    return load_pretrained(
        str(name), image_size=image_size, channels=channels, noise=noise, **options
    )


def same_weights(one, other) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_a_folder_gives_its_weights_and_its_forward_process(folder):
    unet, scheduler = load(folder)
    assert same_weights(unet, denoiser())
    assert scheduler.config.num_train_timesteps == 50
    assert type(scheduler) is DDPMScheduler


def test_the_scheduler_of_another_pipeline_becomes_the_one_of_training(tmp_path):
    DDIMPipeline(unet=denoiser(), scheduler=DDIMScheduler(num_train_timesteps=50)).save_pretrained(
        tmp_path / "model"
    )
    assert type(load(tmp_path / "model")[1]) is DDPMScheduler


@pytest.mark.parametrize("pickled", [False, True])
def test_the_layout_of_the_first_hub_models_is_read_too(folder, pickled, caplog):
    with caplog.at_level("INFO", logger="pu_diffusion_pipeline"):
        unet, _ = load(flat_folder(folder, pickled))
    assert same_weights(unet, denoiser())
    assert ("weights-only loader" in caplog.text) == pickled


def test_safetensors_are_preferred_to_a_pickle(folder):
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"never read")
    assert same_weights(load(folder)[0], denoiser())


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_a_pickle_that_holds_more_than_tensors_is_refused_and_not_run(
    folder, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    flat = flat_folder(folder, pickled=True)
    torch.save({"weight": Harmful()}, flat / "diffusion_pytorch_model.bin")
    with pytest.raises(InvalidInput, match="holds more than tensors"):
        load(flat)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 32}, r"data\.image_size: 32, the model has 16: set it to 16"),
        ({"channels": 1}, r"data\.channels: 1, the model has 3: set it to 3"),
        ({"num_conditions": 10}, r"data\.num_conditions: 10, the model has None"),
        (
            {"noise": NOISE.model_copy(update={"schedule": "squaredcos_cap_v2"})},
            r"noise\.schedule: .*set it to linear",
        ),
        (
            {"noise": NOISE.model_copy(update={"prediction_type": "sample"})},
            r"noise\.prediction_type",
        ),
        (
            {"noise": NOISE.model_copy(update={"num_train_timesteps": 1000})},
            r"noise\.num_train_timesteps: 1000",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused_saying_what_to_change(folder, options, message):
    with pytest.raises(InvalidInput, match=message):
        load(folder, **options)


def test_a_missing_folder_is_refused_saying_how_to_place_one(tmp_path):
    with pytest.raises(InvalidInput, match=r"pretrained: no folder .*nowhere.*--local-dir"):
        load(tmp_path / "nowhere")


def test_a_missing_stand_in_is_refused_naming_the_pipeline_that_makes_it():
    with pytest.raises(InvalidInput, match="--pipeline=pretrain"):
        load("data/06_models/finetune/base/default/model")


def test_a_failing_download_is_refused_saying_how_to_do_without(monkeypatch):
    def no_network(*given, **named):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    with pytest.raises(
        InvalidInput,
        match=r"google/ddpm-cifar10-32 .*could not be downloaded.*not known.*--local-dir",
    ):
        load("google/ddpm-cifar10-32")


def test_a_hub_model_is_downloaded_without_its_pickle_if_it_has_safetensors(folder, monkeypatch):
    asked = []

    def snapshot(name, allow_patterns):
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert find_folder("someone/model") == folder
    assert len(asked) == 1
    assert "*.bin" not in asked[0]
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    find_folder("someone/model")
    assert "*.bin" in asked[-1]


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"is no diffusers pipeline.*model_index\.json"):
        load(tmp_path)


def test_a_pipeline_of_another_kind_is_refused_naming_it(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidInput, match=r"StableDiffusion.* unet is .*\.UNet2DConditionModel"):
        load(folder)


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_missing_or_damaged_weights_are_refused(folder, content):
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"has no weights|cannot be read"):
        load(folder)
