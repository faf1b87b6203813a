"""Fine-tune a text-to-image model of diffusers (Stable Diffusion) with the PU objective, by LoRA.

python examples/text_to_image.py --checkpoint SD --unlabeled U --sensitive S --beta 0.1 --to LORA

SD is a folder of a StableDiffusionPipeline. U and S are folders of pictures, each with a file
metadata.jsonl, one row for each picture: {"file_name": "a.png", "text": "the caption"}.
Needs `pip install 'pu_diffusion_pipeline[text]'`. docs/text_to_image.md says what is assumed.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import TensorDataset
from torchvision.transforms.functional import to_tensor

import pu_diffusion_pipeline as pu

try:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
except ImportError as error:
    raise SystemExit(f"{error}: pip install 'pu_diffusion_pipeline[text]'") from error

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]  # layers of the U-Net that get LoRA weights


def read_rows(name: str, folder: Path) -> list[tuple[Path, str]]:
    """Path and caption of each picture that a folder's metadata.jsonl lists.

    A fault ends the program with a message that begins with `name`, the argument.
    """
    metadata = folder / "metadata.jsonl"
    if not metadata.is_file():
        raise SystemExit(f"{name}: expected a folder with a file metadata.jsonl, got {folder}")
    rows = []
    for number, line in enumerate(metadata.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}: line {number} of {metadata}"
        try:
            row = json.loads(line)
            file, caption = folder / row["file_name"], str.strip(row["text"])
        except (ValueError, KeyError, TypeError) as error:
            got = line[:80].decode(errors="replace")
            raise SystemExit(f"{place}: expected file_name and text, got {got}") from error
        if not file.is_file():
            raise SystemExit(f"{place}: expected the name of a picture, got {row['file_name']!r}")
        rows.append((file, caption))
    if not rows:
        raise SystemExit(f"{name}: expected at least one picture, got none in {metadata}")
    return rows


def read_picture(path: Path, size: int) -> Tensor:
    """(1, 3, size, size) in [-1, 1]; of a picture that is not square, the middle."""
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except OSError as error:
        raise SystemExit(f"expected a picture that can be read, got {path}: {error}") from error
    return to_tensor(ImageOps.fit(picture, (size, size)))[None] * 2 - 1


def load_checkpoint(folder: Path) -> StableDiffusionPipeline:
    """The pipeline in a folder; pickled weights are not read."""
    index = folder / "model_index.json"
    if not index.is_file() or '"StableDiffusionPipeline"' not in index.read_text():
        raise SystemExit(
            "--checkpoint: expected a folder whose model_index.json names StableDiffusionPipeline, "
            f"got {folder}"
        )
    try:
        return StableDiffusionPipeline.from_pretrained(
            folder, safety_checker=None, requires_safety_checker=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise SystemExit(f"--checkpoint: {error}") from error


@torch.no_grad()
def encode(pipe: StableDiffusionPipeline, rows: list[tuple[Path, str]]) -> TensorDataset:
    """Latents of the pictures, (N, C, h, w), and encoded captions, (N, tokens, features)."""
    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    latents, texts = [], []
    for path, caption in rows:
        picture = read_picture(path, size).to(pipe.device)
        latents.append(pipe.vae.encode(picture).latent_dist.mode() * pipe.vae.config.scaling_factor)
        text, _ = pipe.encode_prompt(caption, pipe.device, 1, do_classifier_free_guidance=False)
        texts.append(text)
    return TensorDataset(torch.cat(latents).cpu(), torch.cat(texts).cpu())


def add_lora(pipe: StableDiffusionPipeline, rank: int) -> list[torch.nn.Parameter]:
    """The new weights, the only ones to train. Before the training they change nothing."""
    pipe.unet.requires_grad_(False)
    pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION))
    return [weight for weight in pipe.unet.parameters() if weight.requires_grad]


def train(
    pipe: StableDiffusionPipeline,
    unlabeled: TensorDataset,
    sensitive: TensorDataset,
    accelerator: Accelerator,
    options: argparse.Namespace,
) -> None:
    """Give the U-Net LoRA weights, and train them with the PU risk."""
    weights = add_lora(pipe, options.rank)
    optimizer = torch.optim.AdamW(weights, lr=options.learning_rate)
    unet, optimizer = accelerator.prepare(pipe.unet, optimizer)
    noise_scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    num_timesteps = noise_scheduler.config.num_train_timesteps
    objective = pu.PositiveUnlabeled(beta=options.beta)
    # Each batch has pairs of S, however small it is. If errors vary as much on S as on U, the
    # variance of R_U - beta R_S is least with this number.
    from_s = max(1, round(options.batch_size * options.beta / (1 + options.beta)))
    from_u = options.batch_size - from_s
    labels = torch.tensor([pu.UNLABELED] * from_u + [pu.LABELED_SENSITIVE] * from_s)
    device = accelerator.device
    for step in range(1, options.steps + 1):
        from_both = zip(
            unlabeled[torch.randint(len(unlabeled), (from_u,))],
            sensitive[torch.randint(len(sensitive), (from_s,))],
            strict=True,
        )
        clean, text = (torch.cat(parts).to(device) for parts in from_both)
        noise = torch.randn_like(clean)
        timesteps = torch.randint(num_timesteps, (len(clean),), device=device)
        denoiser = partial(unet, encoder_hidden_states=text)
        error = pu.denoising_error(denoiser, noise_scheduler, clean, noise, timesteps)
        loss, risks = objective(error, labels.to(device))
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % max(1, options.steps // 5) == 0:
            shown = " ".join(f"{name} {risk.item():.3g}" for name, risk in risks.items())
            print(f"step {step} of {options.steps}: {shown}")


def main(arguments: list[str] | None = None) -> None:
    """Train and save the LoRA weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--unlabeled", type=Path, required=True, help="folder of unlabeled pairs")
    parser.add_argument("--sensitive", type=Path, required=True, help="folder of sensitive pairs")
    parser.add_argument("--beta", type=float, required=True, help="sensitive share of unlabeled")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8, help="of the LoRA weights")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("pu-lora"), help="folder of the weights")
    options = parser.parse_args(arguments)
    if not 0 < options.beta < 1:
        raise SystemExit(f"--beta: expected a number between 0 and 1, got {options.beta}")
    if options.batch_size < 2 or min(options.steps, options.rank) < 1:
        parser.error("expected a --batch-size of 2 or more, --steps and --rank of 1 or more")
    rows_u = read_rows("--unlabeled", options.unlabeled)
    rows_s = read_rows("--sensitive", options.sensitive)
    set_seed(options.seed)
    accelerator = Accelerator()
    pipe = load_checkpoint(options.checkpoint).to(accelerator.device)
    train(pipe, encode(pipe, rows_u), encode(pipe, rows_s), accelerator, options)
    lora = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
    StableDiffusionPipeline.save_lora_weights(options.to, unet_lora_layers=lora)
    print(f"{options.to}: LoRA weights of {options.checkpoint}")


if __name__ == "__main__":
    main()
