"""Model folders that somebody has damaged or made to harm: each function spoils a sound one.

Code that a folder smuggles in would make the file `CANARY`.
"""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DDPMPipeline, DDPMScheduler
from safetensors.torch import load_file, save_file

from pu_diffusion_pipeline.diffusion.options import NoiseOptions
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from raw_files import tiny_unet

CANARY = Path("canary")  # in the working directory
SAFE = "unet/diffusion_pytorch_model.safetensors"
PICKLE = "unet/diffusion_pytorch_model.bin"
UNET = "unet/config.json"
SCHEDULER = "scheduler/scheduler_config.json"
INDEX = "model_index.json"
FOREIGN_CODE = f"from pathlib import Path\nPath({str(CANARY)!r}).touch()\n"

NOISE = NoiseOptions(num_train_timesteps=50, schedule="linear", prediction_type="epsilon")
Spoil = Callable[[Path], None]


def write_model(folder: Path) -> None:
    """A sound model folder."""
    DDPMPipeline(
        unet=tiny_unet(3, 16), scheduler=DDPMScheduler(num_train_timesteps=50)
    ).save_pretrained(folder)


def load(folder: Path):
    return load_pretrained(str(folder), image_size=16, channels=3, noise=NOISE)


class Hostile(NamedTuple):
    """A way to spoil a folder, and the words that the refusal must hold."""

    spoil: Spoil
    words: tuple[str, ...]


class Harmful:
    """Runs a shell command where it is unpickled."""

    def __reduce__(self):
        import os

        return (os.system, (f"touch {CANARY}",))


def fields(file: str, **values: Any) -> Hostile:
    """Other values in a JSON file; the refusal names the file and the first of the fields."""

    def spoil(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return Hostile(spoil, (file, next(iter(values))))


def without(file: str, field: str) -> Hostile:
    """A JSON file that lacks a field."""

    def spoil(folder: Path) -> None:
        plain = json.loads((folder / file).read_text())
        del plain[field]
        (folder / file).write_text(json.dumps(plain))

    return Hostile(spoil, (file, field))


def content(file: str, written: str | bytes, *words: str) -> Hostile:
    """Another content of a file."""
    raw = written.encode() if isinstance(written, str) else written
    return Hostile(lambda folder: put(folder / file, raw), (file, *words))


def put(path: Path, raw: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(raw)


def hole(file: str, size: int) -> Hostile:
    """A file that is large and takes no room on the disk."""

    def spoil(folder: Path) -> None:
        with (folder / file).open("r+b") as opened:
            opened.truncate(size)

    return Hostile(spoil, (file, str(size)))


def weights(change: Callable[[dict[str, torch.Tensor]], object], *words: str) -> Hostile:
    """Changed weights in a sound safetensors file."""

    def spoil(folder: Path) -> None:
        state = {name: weight.clone() for name, weight in load_file(folder / SAFE).items()}
        change(state)
        put(folder / SAFE, b"")
        save_file(state, folder / SAFE)

    return Hostile(spoil, words)


def header(text: str, length: int | None = None) -> Hostile:
    """A safetensors file with a header of one's own; `length` is what it claims of it."""
    raw = text.encode()
    claimed = struct.pack("<Q", len(raw) if length is None else length)
    return content(SAFE, claimed + raw + bytes(16), "cannot be read")


def pickled(make: Callable[[Path, dict[str, torch.Tensor]], object], *words: str) -> Hostile:
    """A pickle in the place of the safetensors; `make` gets its path and the weights."""

    def spoil(folder: Path) -> None:
        state = load_file(folder / SAFE)
        (folder / SAFE).unlink()
        make(folder / PICKLE, state)

    return Hostile(spoil, (PICKLE, *words))


def deflated(path: Path, state: dict[str, torch.Tensor]) -> None:
    """torch's format, compressed, with a record of zeros a thousand times its size."""
    torch.save(state, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/999", bytes(50_000_000))


def expanded(path: Path, state: dict[str, torch.Tensor]) -> None:
    """A single number as every weight."""
    one = torch.zeros(1)
    torch.save({name: one.expand(weight.shape) for name, weight in state.items()}, path)


def shards(name: str) -> Hostile:
    """An index that names a file."""
    index = f"{SAFE}.index.json"
    written = json.dumps({"metadata": {}, "weight_map": {"conv_in.weight": name}})
    return content(index, written, "weight_map" if "/" in name else name)


def foreign_module(folder: Path) -> None:
    """Code under the names that the JSON files of `FOREIGN` give, wherever it might be looked for.

    Called in the folder's parent, which may be the working directory.
    """
    for place in (folder, folder / "unet", folder.parent):
        (place / "evil.py").write_text(FOREIGN_CODE)


T = torch.zeros
BOMBS = {
    "1e9 layers": fields(UNET, layers_per_block=10**9),
    "1e9 levels": fields(UNET, block_out_channels=[8] * 10**5),
    "1e9 channels": fields(UNET, block_out_channels=[8, 10**9]),
    "1e12 classes": fields(UNET, num_class_embeds=10**12),
    "1e12 time steps": fields(SCHEDULER, num_train_timesteps=10**12),
    "wide": Hostile(fields(UNET, block_out_channels=[8192, 8192]).spoil, ("conv_in", "8192")),
    "large JSON": hole(UNET, 10**10),
    "deep JSON": content(UNET, "[" * 10**6),
    "long integer": content(SCHEDULER, '{"num_train_timesteps": ' + "9" * 10**5 + "}"),
    "header of 2^60 bytes": header("{}", length=2**60),
    "shape of 2^62": header(
        '{"conv_in.weight": {"dtype": "F32", "shape": [4611686018427387904, 4],'
        ' "data_offsets": [0, 16]}}'
    ),
    "zip bomb": pickled(deflated, "claims to hold"),
    "expanded": Hostile(pickled(expanded).spoil, ("unet has", "claims to hold")),
}
BROKEN = {
    **{f"{file} is a list": content(file, "[]", "object") for file in (INDEX, UNET, SCHEDULER)},
    "index without unet": without(INDEX, "unet"),
    "unet is null": fields(INDEX, unet=None),
    "unet is a number": fields(INDEX, unet=[1, 2]),
    "no channels": without(UNET, "in_channels"),
    "no time steps": without(SCHEDULER, "num_train_timesteps"),
    "no schedule": without(SCHEDULER, "beta_schedule"),
    "unknown schedule": fields(SCHEDULER, beta_schedule="sigmoid"),
    "unknown prediction": fields(SCHEDULER, prediction_type=["epsilon"]),
    "NaN beta": content(SCHEDULER, '{"num_train_timesteps": NaN}', "num_train_timesteps"),
    "infinite beta": fields(SCHEDULER, beta_end=float("inf")),
    "negative beta": fields(SCHEDULER, beta_start=-0.1),
    "too few betas": fields(SCHEDULER, trained_betas=[0.1] * 3),
    "text for a number": fields(UNET, layers_per_block="1"),
    "true for a number": fields(UNET, layers_per_block=True),
    "negative width": fields(UNET, block_out_channels=[8, -16]),
    "no groups": fields(UNET, norm_num_groups=0),
    "groups do not divide": Hostile(fields(UNET, norm_num_groups=7).spoil, (UNET, "num_groups")),
    "another number of blocks": Hostile(
        fields(UNET, block_out_channels=[8, 16, 16]).spoil, (UNET, "down_block_types")
    ),
    "unknown block": fields(UNET, down_block_types=["DownBlock2D", "evil.Block"]),
    "two channels more": fields(UNET, out_channels=5),
    "an oblong": fields(UNET, sample_size=[16, 32]),
    "a weight is missing": weights(lambda state: state.pop("conv_in.bias"), "conv_in.bias"),
    "a weight too many": weights(lambda state: state.update(evil=T(1)), "evil"),
    "a weight of another shape": weights(
        lambda state: state.update({"conv_in.bias": T(9)}), "conv_in.bias", "(8,)", "(9,)"
    ),
    "a weight of integers": weights(
        lambda state: state.update({"conv_in.bias": T(8, dtype=torch.int32)}), "conv_in.bias", "I32"
    ),
    "an infinite weight": weights(
        lambda state: state["conv_in.bias"].fill_(float("inf")), "conv_in.bias", "not finite"
    ),
    "overlapping weights": header(
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
        ' "b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
    ),
    "a shard above": shards("../../etc/passwd"),
    "a shard elsewhere": shards("/etc/passwd"),
    "a shard that is not there": shards("nowhere.safetensors"),
    "a pickle of a list": pickled(lambda path, state: torch.save([*state.values()], path)),
}
FOREIGN = {
    "a pickle with a command": pickled(
        lambda path, state: torch.save({**state, "evil": Harmful()}, path)
    ),
    "an old pickle with a command": pickled(
        lambda path, state: torch.save(
            {**state, "evil": Harmful()}, path, _use_new_zipfile_serialization=False
        )
    ),
    "a pipeline of its own": fields(INDEX, _class_name=["evil", "EvilPipeline"]),
    "a unet of its own": Hostile(
        fields(INDEX, unet=["evil", "UNet2DModel"]).spoil, ("evil.UNet2DModel",)
    ),
}
# These are loaded, and what they name is not.
IGNORED = {
    "auto_map": fields(UNET, auto_map={"AutoModel": "evil.Evil"}, _class_name="Evil"),
    "version": fields(
        UNET, _diffusers_version="evil", quantization_config={"quant_method": "evil"}
    ),
    "scheduler": fields(SCHEDULER, _class_name="evil", auto_map={"AutoModel": "evil.Evil"}),
    "pipeline": fields(
        INDEX, _class_name="evil", scheduler=["evil", "Evil"], evil=["evil", "Evil"]
    ),
}
