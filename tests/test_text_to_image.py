"""examples/text_to_image.py, on a checkpoint of Stable Diffusion's parts with random weights."""

import json
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

import pu_diffusion_pipeline as pu
from conftest import REPO

pytest.importorskip("peft", reason="needs the extra text: make test-text")
transformers = pytest.importorskip("transformers", reason="needs the extra text: make test-text")
EXAMPLE = str(REPO / "examples/text_to_image.py")
BLUE, YELLOW = (20, 20, 200), (230, 230, 20)


def tokenizer(folder: Path) -> "transformers.CLIPTokenizer":
    """Each letter is a token."""
    letters = [chr(code) for code in range(33, 127)]
    ends = [f"{letter}</w>" for letter in letters]
    tokens = [*letters, *ends, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return transformers.CLIPTokenizer(*files, model_max_length=12)


def text_encoder(num_tokens: int) -> "transformers.CLIPTextModel":
    config = transformers.CLIPTextConfig(
        vocab_size=num_tokens,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=12,
        bos_token_id=num_tokens - 2,
        eos_token_id=num_tokens - 1,
    )
    return transformers.CLIPTextModel(config)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokens = tokenizer(tmp_path_factory.mktemp("tokens"))
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(16,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=16,
        attention_head_dim=1,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=5.0,  # latents of about unit variance
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder(len(tokens)),
        tokenizer=tokens,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def write_pairs(folder: Path, colour: tuple[int, int, int], caption: str, count: int) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.jsonl").open("a") as rows:
        for index in range(count):
            name = f"{caption}-{index}.png"
            shade = tuple(part + index for part in colour)
            Image.new("RGB", (12, 8), shade).save(folder / name)
            rows.write(json.dumps({"file_name": name, "text": caption}) + "\n")


@pytest.fixture
def pairs(tmp_path) -> Path:
    """U is blue, S is yellow."""
    write_pairs(tmp_path / "u", BLUE, "blue waves", 8)
    write_pairs(tmp_path / "s", YELLOW, "sun", 4)
    return tmp_path


@pytest.fixture(scope="module")
def example() -> dict:
    return runpy.run_path(EXAMPLE)


def arguments(checkpoint: Path, pairs: Path, *more: str) -> list[str]:
    """Later arguments win."""
    folders = [f"--unlabeled={pairs / 'u'}", f"--sensitive={pairs / 's'}", f"--to={pairs / 'lora'}"]
    return [f"--checkpoint={checkpoint}", *folders, "--beta=0.3", "--steps=2", *more]


def errors(example: dict, pipe: StableDiffusionPipeline, pairs: Path) -> torch.Tensor:
    """Mean errors on U and on S, with the same noise for every model."""
    noise_scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    means = []
    for name in ("u", "s"):
        latents, texts = example["encode"](pipe, example["read_rows"]("", pairs / name)).tensors
        latents, texts = latents[:4].repeat(50, 1, 1, 1), texts[:4].repeat(50, 1, 1)
        draws = torch.Generator().manual_seed(0)
        noise = torch.randn(latents.shape, generator=draws)
        timesteps = torch.randint(1000, (len(latents),), generator=draws)
        denoiser = partial(pipe.unet, encoder_hidden_states=texts)
        with torch.inference_mode():
            error = pu.denoising_error(denoiser, noise_scheduler, latents, noise, timesteps)
        means.append(error.mean())
    return torch.stack(means)


def test_the_saved_weights_raise_the_error_on_s_alone(example, checkpoint, pairs, capsys):
    """U has no yellow picture here: the PU risk is all that acts on the error of S."""
    more = ("--steps=25", "--batch-size=8", "--learning-rate=0.03")
    example["main"](arguments(checkpoint, pairs, *more))
    pipe = StableDiffusionPipeline.from_pretrained(checkpoint)
    before = errors(example, pipe, pairs)
    pipe.load_lora_weights(pairs / "lora")
    of_u, of_s = errors(example, pipe, pairs) / before
    assert of_u < 1
    assert of_s > 1.1
    assert "step 25 of 25: sensitive_positive" in capsys.readouterr().out
    assert pipe("sun", num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 3)


def test_the_seed_decides_the_weights(example, checkpoint, pairs):
    files = []
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        example["main"](arguments(checkpoint, pairs, f"--seed={seed}", f"--to={pairs / name}"))
        files.append((pairs / name / "pytorch_lora_weights.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_pictures_and_captions_are_encoded_as_the_pipeline_does(example, checkpoint, pairs):
    pipe = StableDiffusionPipeline.from_pretrained(checkpoint)
    latents, texts = example["encode"](pipe, example["read_rows"]("", pairs / "u")).tensors
    assert latents.shape == (8, 4, 4, 4)
    assert texts.shape == (8, 12, 16)
    assert 0.5 < latents.std() < 2


def no_rows(pairs: Path) -> None:
    (pairs / "s/metadata.jsonl").write_text("\n")


def no_text(pairs: Path) -> None:
    (pairs / "s/metadata.jsonl").write_text('\n{"file_name": "a.png"}\n')


def no_picture(pairs: Path) -> None:
    (pairs / "s/metadata.jsonl").write_text('{"file_name": "gone.png", "text": "sun"}\n')


def broken_picture(pairs: Path) -> None:
    (pairs / "s/sun-0.png").write_bytes(b"no picture")


def other_pipeline(pairs: Path) -> None:
    (pairs / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')


def nothing(pairs: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (nothing, "--beta=1", "--beta: expected a number between 0 and 1, got 1.0"),
        (nothing, "--beta=nan", "--beta: expected a number between 0 and 1, got nan"),
        (nothing, "--unlabeled=gone", "--unlabeled: expected a folder with a file metadata.jsonl"),
        (nothing, "--checkpoint=gone", "--checkpoint: expected a folder whose model_index.json"),
        (other_pipeline, "--checkpoint={}", "names StableDiffusionPipeline, got /"),
        (no_rows, "", "--sensitive: expected at least one picture, got none"),
        (no_text, "", 'line 2 of .*: expected file_name and text, got {"file_name": "a.png"}'),
        (no_picture, "", "line 1 of .*: expected the name of a picture, got 'gone.png'"),
        (broken_picture, "", "expected a picture that can be read, got .*sun-0.png"),
    ],
)
def test_a_wrong_argument_is_one_message(example, checkpoint, pairs, spoil, more, message):
    spoil(pairs)
    with pytest.raises(SystemExit, match=message) as ended:
        example["main"](arguments(checkpoint, pairs, *([more.format(pairs)] if more else [])))
    assert "\n" not in str(ended.value)


def test_without_peft_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SystemExit, match=r"pip install 'pu_diffusion_pipeline\[text\]'"):
        runpy.run_path(EXAMPLE)
